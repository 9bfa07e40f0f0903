//! The example of docs/embedding.md counts, on addresses that no other test run uses.

// Its `main` only reads the command line.
#[expect(dead_code)]
#[path = "../../net/examples/counter.rs"]
mod counter;

use quorate_tests::block::Block;

#[test]
fn three_real_nodes_count_to_three() {
    let block = Block::take().expect("a block of test addresses is free");
    counter::count_to_three(&block.name()).expect("it counts");
}
