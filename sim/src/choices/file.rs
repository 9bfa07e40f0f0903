//! Choice files: a run as data, to be read, edited and told again.
//!
//! JSON, one choice per line. `scenario`, `seed` and `edits` fix the run; the rest says what was
//! seen of it, and a replay ignores it. To edit a choice, copy its line from `choices` to `edits`
//! and change its value.
//!
//! Read next: [`ChoiceFile`], then `quorate-sim replay`.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Choice, Choices, Edit};

/// What a choice file says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChoiceFile {
    /// As in `quorate-sim run NAME`.
    pub scenario: String,
    /// The seed of all choices that are not forced.
    pub seed: u64,
    /// The choices that are forced.
    #[serde(default)]
    pub edits: Vec<Edit>,
    /// The event hash of a run that ended well.
    #[serde(default)]
    pub event_hash: Option<u64>,
    /// Why the run failed.
    #[serde(default)]
    pub failure: Option<String>,
    /// The choices that were recorded, in the order in which they were made.
    #[serde(default)]
    pub choices: Vec<Choice>,
}

impl ChoiceFile {
    /// A run of `scenario` with these choices. `ended`: its event hash, or why it failed.
    pub fn of(scenario: &str, choices: &Choices, ended: Result<u64, &str>) -> ChoiceFile {
        ChoiceFile {
            scenario: scenario.to_owned(),
            seed: choices.seed(),
            edits: choices.edits().list(),
            event_hash: ended.ok(),
            failure: ended.err().map(str::to_owned),
            choices: choices.recorded(),
        }
    }

    /// Its name where a failing run leaves it.
    pub fn name(&self) -> String {
        format!("{}-{}.choices.json", self.scenario, self.seed)
    }

    /// Its text.
    pub fn to_text(&self) -> String {
        let ChoiceFile { scenario, seed, edits, event_hash, failure, choices } = self;
        let fields = [
            ("scenario", json(scenario)),
            ("seed", json(seed)),
            ("edits", lines(edits)),
            ("event_hash", json(event_hash)),
            ("failure", json(failure)),
            ("choices", lines(choices)),
        ];
        let fields = fields.map(|(name, value)| format!("  \"{name}\": {value}"));
        format!("{{\n{}\n}}\n", fields.join(",\n"))
    }

    /// Reads a text; the error says where it is none.
    pub fn parse(text: &str) -> Result<ChoiceFile, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// Reads a file; the error says what is wrong with which.
    pub fn read(path: &Path) -> Result<ChoiceFile, String> {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
        let read = text.and_then(|text| ChoiceFile::parse(&text));
        read.map_err(|detail| format!("{} is no choice file: {detail}", path.display()))
    }

    /// Writes the file, in place of an earlier one.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        std::fs::write(path, self.to_text())
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("only plain fields are written")
}

/// A list, each element on a line of its own.
fn lines(elements: &[impl Serialize]) -> String {
    if elements.is_empty() {
        return "[]".to_owned();
    }
    let elements: Vec<String> = elements.iter().map(|one| format!("    {}", json(one))).collect();
    format!("[\n{}\n  ]", elements.join(",\n"))
}
