//! Good settings, and each bad one with its refusal.

use super::*;

const GOOD: &str = r#"
    [node]
    name = "n2"
    data_dir = "/var/lib/quorate"
    [cluster]
    members = [
        { name = "n1", address = "127.0.0.11" },
        { name = "n2", address = "127.0.0.12", api_port = 9500 },
    ]
"#;

/// The least that a node needs that is to start or join a cluster.
const UNLISTED: &str = "[node]\ndata_dir = \"/data\"\naddress = \"127.0.0.9\"\n";

fn refusal(text: &str) -> String {
    Settings::from_toml(text).expect_err("refused").to_string()
}

#[test]
fn good_settings_have_the_defaults_of_the_design() {
    let settings = Settings::from_toml(GOOD).expect("good");
    let (id, this) = settings.this_member().expect("listed");
    assert_eq!(id, NodeId(2));
    assert_eq!(this.consensus().to_string(), "127.0.0.12:8300");
    assert_eq!(this.api().to_string(), "127.0.0.12:9500");
    assert_eq!(settings.cluster.lease_ms, 235);
    assert_eq!(settings.cluster.with_drift_ms(235), 238);
}

#[test]
fn a_node_without_listed_members_has_a_place_of_its_own() {
    let settings = Settings::from_toml(&format!("{UNLISTED}api_port = 9500")).expect("good");
    let place = settings.place().expect("an address is there");
    assert_eq!((settings.lists_members(), settings.this_member()), (false, None));
    assert_eq!(place.api().to_string(), "127.0.0.9:9500");
    assert_eq!(place.consensus().to_string(), "127.0.0.9:8300");
    let listed = Settings::from_toml(GOOD).expect("good");
    assert_eq!(listed.place(), listed.this_member().map(|(_, member)| member.clone()));
}

#[test]
fn each_bad_setting_is_refused_with_its_code_and_advice() {
    let with = |more: &str| format!("{GOOD}\n{more}");
    let table = [
        (with("lease_ms = 240"), "Q1303 lease_ms 240 with drift is 243 ms"),
        (with("heartbeat_interval_ms = 60"), "Q1304 election_timeout_ms_min 150"),
        (with("election_timeout_ms_min = 240"), "Q1304 election_timeout_ms_min 240 is not"),
        (with("lease_ms = 0"), "Q1304 an interval or lease of 0 ms"),
        (with("leas_ms = 5"), "Q1301 "),
        (with("[[files]]\npath = \"/srv\""), "Q1302 [files] is not built in"),
        (with("[database]"), "Q1302 [database] is not built in"),
        (GOOD.replace("\"n2\"\n", "\"n9\"\n"), "Q1306 node.name \"n9\" is not listed"),
        (GOOD.replace("name = \"n1\"", "name = \"n2\""), "Q1306 name \"n2\" is there twice"),
        (GOOD.replace("9500", "0"), "Q1305 n2 has port 0"),
        (GOOD.replace("9500", "8300"), "Q1305 127.0.0.12:8300 is used twice"),
        (GOOD.replace("127.0.0.11", "10.0.0.1"), "Q1306 10.0.0.1 is no loopback address"),
        ("[node".to_owned(), "Q1301 "),
        (UNLISTED.replace("address", "api_port"), "Q1301 "),
        ("[node]\ndata_dir = \"/data\"".to_owned(), "Q1306 there is neither cluster.members nor"),
        (format!("{UNLISTED}[api]\nenabled = false"), "Q1306 without cluster.members a node is"),
        (format!("{UNLISTED}api_port = 8300"), "Q1305 127.0.0.9:8300 is used twice"),
        (format!("{UNLISTED}api_port = 0"), "Q1305 the node has port 0"),
        (UNLISTED.replace("127.0.0.9", "0.0.0.0"), "Q1306 0.0.0.0 is no address of one machine"),
        (UNLISTED.replace("127.0.0.9", "ff02::1"), "Q1306 ff02::1 is no address of one machine"),
        (format!("{UNLISTED}name = {:?}", "n".repeat(64)), "Q1306 name"),
    ];
    for (text, expected) in table {
        let refusal = refusal(&text);
        assert!(refusal.starts_with(expected), "{refusal} should start with {expected}");
        assert!(refusal.contains("nothing was started"), "{refusal}");
    }
}

#[test]
fn other_machines_are_reached_with_a_secret_and_asked_for_a_password() {
    let elsewhere = UNLISTED.replace("127.0.0.9", "10.0.0.1");
    let settings = Settings::from_toml(&elsewhere).expect("an order makes a secret");
    let place = settings.place().expect("it says where it is");
    for (has_secret, expected) in [
        (true, "Q1306 the API at 10.0.0.1:8500 would ask nobody"),
        (false, "Q1306 10.0.0.1 is no loopback address, and there is no secret"),
    ] {
        let refused = settings.check_reach(&place, has_secret).expect_err("no password");
        assert!(refused.to_string().starts_with(expected), "{refused}");
    }
    let listed = GOOD.replace("127.0.0.11", "10.0.0.1");
    let refused = refusal(&listed);
    assert!(refused.contains("10.0.0.1 is no loopback address, and there is no security.secret"));
    let named = format!("{listed}[security]\nsecret_file = \"/etc/quorate/cluster.secret\"\n");
    Settings::from_toml(&named).expect("it names a secret");
}
