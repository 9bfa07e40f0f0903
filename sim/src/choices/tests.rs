//! The laws of choices: each site is alone, an edit hits one choice, bounds hold, seeds keep their
//! meaning.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const SITES: [(&str, u64); 4] = [("a", 0), ("a", 1), ("ab", 0), ("b", 0)];

fn recording(seed: u64, edits: Edits) -> Choices {
    Choices::new(seed, edits, Keep::Chosen)
}

/// Draws at these sites in this order; returns what each site said.
fn draw(choices: &Choices, order: &[usize]) -> Vec<Vec<u64>> {
    let dice = SITES.map(|(name, instance)| choices.chosen(name, instance));
    let mut drawn = vec![Vec::new(); SITES.len()];
    for at in order {
        drawn[*at].push(dice[*at].between(10, 1_000_009));
    }
    drawn
}

proptest! {
    /// What a site says is the same, whether others are asked before, in between, or never.
    #[test]
    fn a_site_does_not_hear_of_other_sites(seed: u64, order in vec(0..SITES.len(), 0..60)) {
        let together = draw(&Choices::of(seed), &order);
        for (at, drawn) in together.iter().enumerate() {
            let alone = draw(&Choices::of(seed), &vec![at; drawn.len()]);
            prop_assert_eq!(drawn, &alone[at]);
        }
    }

    /// Sites, and the choices of each, do not repeat each other.
    #[test]
    fn sites_differ(seed: u64) {
        let drawn = SITES.map(|(name, instance)| {
            let dice = Choices::of(seed).site(name, instance);
            [dice.word(), dice.word(), dice.word()]
        });
        let mut words = drawn.concat();
        words.sort_unstable();
        words.dedup();
        prop_assert_eq!(words.len(), 12);
    }

    /// One edit changes one value, to what it forces, or to the nearest bound.
    #[test]
    fn an_edit_hits_exactly_one_choice(
        seed: u64,
        order in vec(0..SITES.len(), 1..40),
        hit in any::<proptest::sample::Index>(),
        forced: u64,
    ) {
        let at = order[hit.index(order.len())];
        let k = order[..=hit.index(order.len())].iter().filter(|other| **other == at).count();
        let (name, instance) = SITES[at];
        let edits = Edits::default().with(name, instance, k as u64, forced);
        let edited = recording(seed, edits);

        let mut expected = draw(&Choices::of(seed), &order);
        expected[at][k - 1] = forced.clamp(10, 1_000_009);
        prop_assert_eq!(&draw(&edited, &order), &expected);
        prop_assert_eq!(edited.unmet_edits(), []);
        let values: Vec<u64> = edited.recorded().iter().map(|choice| choice.value).collect();
        let mut said = expected.into_iter().map(Vec::into_iter).collect::<Vec<_>>();
        let in_order: Vec<u64> = order.iter().filter_map(|at| said[*at].next()).collect();
        prop_assert_eq!(values, in_order);
    }

    /// Every way to choose keeps its bounds, forced or not, and the record says what was given.
    #[test]
    fn bounds_are_kept(seed: u64, bounds: (u64, u64), probability in -0.5..1.5, forced: u64) {
        let (min, max) = (bounds.0.min(bounds.1), bounds.0.max(bounds.1));
        let edits = Edits::default().with("a", 0, 2, forced).with("b", 0, 1, forced);
        let choices = recording(seed, edits.with("c", 0, 1, forced));
        let dice = choices.chosen("a", 0);
        for _ in 0..3 {
            prop_assert!((min..=max).contains(&dice.between(min, max)));
        }
        let happens = choices.chosen("b", 0).chance(probability);
        prop_assert!(probability > 0.0 || !happens);
        prop_assert!(probability < 1.0 || happens);
        let given = choices.chosen("c", 0).one_of(&[("", 5), ("", 6), ("", 7)]);
        prop_assert!((5..=7).contains(given));
        for choice in choices.recorded() {
            prop_assert!((choice.min..=choice.max).contains(&choice.value), "{choice:?}");
        }
    }

    /// A choice file says all that a run needs, and reads back as it was written.
    #[test]
    fn a_choice_file_reads_back(
        seed: u64,
        edits in vec(("[a-z.\"\\\\]{1,9}", any::<u64>(), any::<u64>(), any::<u64>()), 0..5),
        failure in proptest::option::of(".{0,40}"),
    ) {
        let edit = |(site, instance, k, value)| Edit { site, instance, k, value };
        let edits: Edits = edits.into_iter().map(edit).collect();
        let choices = recording(seed, edits.clone());
        draw(&choices, &[0, 1, 2, 3, 0]);
        choices.chosen("fault", 7).one_of(&[("crash", ()), ("freeze", ())]);
        let ended = failure.as_deref().map_or(Ok(seed ^ 1), Err);
        let file = ChoiceFile::of("storm", &choices, ended);
        let read = ChoiceFile::parse(&file.to_text()).expect("it was written here");
        prop_assert_eq!(&read, &file);
        prop_assert_eq!(read.edits.into_iter().collect::<Edits>(), edits);
        prop_assert_eq!(read.choices.len(), 6);
    }
}

/// Seeds and choice files mean the same tomorrow. Computed apart from this code.
#[test]
fn seeds_keep_their_meaning() {
    let choices = Choices::of(7);
    let delay = choices.site("link.delay_us", pair(1, 3));
    let delays: Vec<u64> = (0..4).map(|_| delay.between(300, 1_200)).collect();
    assert_eq!(delays, [1_009, 999, 355, 1_039]);

    let fault = choices.site("storm.gust.fault", 3);
    let table = [("crash", 0), ("power cut", 1), ("freeze", 2), ("links", 3)];
    let faults: Vec<u64> = (0..4).map(|_| *fault.one_of(&table)).collect();
    assert_eq!(faults, [3, 0, 2, 1]);

    let consensus = Choices::of(1).site("entropy.consensus", pair(2, 1));
    assert_eq!(
        [consensus.word(), consensus.word()],
        [0x21aa_8aae_d961_5302, 0x974b_e665_a85c_0f05]
    );

    let has_crashes = |seed| Choices::of(seed).site("storm.has_crashes", 0).chance(0.7);
    let without: Vec<u64> = (1..9).filter(|seed| !has_crashes(*seed)).collect();
    assert_eq!(without, [2]);
}

#[test]
fn a_site_that_is_handed_out_again_goes_on_counting() {
    let (once, twice) = (Choices::of(3), Choices::of(3));
    let whole: Vec<u64> = (0..4).map(|_| once.site("a", 0)).map(|dice| dice.word()).collect();
    let dice = twice.site("a", 0);
    let parts: Vec<u64> = (0..4).map(|_| dice.word()).collect();
    assert_eq!(whole, parts);
    assert_eq!(once.again().site("a", 0).word(), whole[0]);
}

#[test]
fn what_has_one_outcome_is_no_choice() {
    let choices = recording(1, Edits::default());
    let dice = choices.chosen("a", 0);
    assert_eq!((dice.between(5, 5), dice.between(5, 4)), (5, 5));
    assert_eq!((dice.chance(0.0), dice.chance(1.0), *dice.one_of(&[("one", 8)])), (false, true, 8));
    assert_eq!(choices.recorded(), []);
    assert_eq!(dice.word(), Choices::of(1).site("a", 0).word());
}

#[test]
fn the_record_holds_what_the_run_keeps() {
    let sites_of = |keep| {
        let choices = Choices::new(1, Edits::default().with("hot", 1, 2, 9), keep);
        let (hot, chosen) = (choices.site("hot", 1), choices.chosen("plan", 1));
        assert_eq!((hot.between(0, 3), hot.between(0, 3), chosen.chance(0.5)).1, 3);
        choices.recorded().into_iter().map(|choice| choice.site).collect::<Vec<_>>()
    };
    assert_eq!(sites_of(Keep::Nothing), Vec::<String>::new());
    assert_eq!(sites_of(Keep::Chosen), ["plan"]);
    assert_eq!(sites_of(Keep::Everything), ["hot", "hot", "plan"]);
}

#[test]
fn an_edit_that_meets_no_choice_is_told() {
    let edits = Edits::default().with("a", 0, 2, 5).with("a", 0, 3, 5).with("z", 0, 1, 5);
    let choices = recording(1, edits.with("a", 0, 0, 5));
    let dice = choices.chosen("a", 0);
    let _drawn = (dice.word(), dice.word());
    let unmet = choices.unmet_edits();
    let unmet: Vec<(&str, u64)> = unmet.iter().map(|edit| (edit.site.as_str(), edit.k)).collect();
    assert_eq!(unmet, [("a", 0), ("a", 3), ("z", 1)]);
}

#[test]
fn a_line_of_a_choice_is_an_edit_once_its_value_is_changed() {
    let text = r#"{ "scenario": "storm", "seed": 7, "edits": [
        {"site":"storm.gust.fault","instance":3,"k":1,"min":0,"max":3,"value":2,"means":"links"}
    ] }"#;
    let file = ChoiceFile::parse(text).expect("it is a choice file");
    let edits: Edits = file.edits.into_iter().collect();
    assert_eq!(edits, Edits::default().with("storm.gust.fault", 3, 1, 2));
    let wrong = ChoiceFile::parse(&text.replace("\"value\"", "\"valeu\""));
    assert!(wrong.expect_err("a value is missing").contains("value"));
    let wrong = ChoiceFile::parse(&text.replace("\"edits\"", "\"edit\""));
    assert!(wrong.expect_err("a typing error is no field").contains("edit"));
}
