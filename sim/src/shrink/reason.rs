//! The reason of a failure without what differs from run to run: two runs fail in the same way
//! exactly if the rest of it is equal.
//!
//! Kept are the words of its first line up to the first `;`, behind which details stand. Masked are
//! words with a digit (numbers, times, nodes, tokens), except codes such as `Q1002`;
//! what is quoted (keys and values of clients); and what stands in brackets (lists and fields).
//!
//! A run that fails in another way is another finding. To take one for the other would lead to a
//! smaller run that proves nothing about the failure that was to be explained.

/// What stands for anything that was masked.
const MASK: &str = "#";

/// The way in which a run has failed: equal for two runs that failed in the same way.
///
/// `reason` as in a choice file; only its first line counts.
pub fn kind_of(reason: &str) -> String {
    let line = reason.lines().next().unwrap_or("");
    let plain = without_insides(line);
    let clause = plain.split(';').next().unwrap_or("");
    let words: Vec<String> = clause.split_whitespace().map(masked).collect();
    words.join(" ")
}

/// Blanks what is quoted or in brackets. A bracket that is never closed hides the rest.
fn without_insides(line: &str) -> String {
    let mut shown = String::new();
    let mut closing: Vec<char> = Vec::new();
    let mut signs = line.chars();
    while let Some(sign) = signs.next() {
        let opened = match sign {
            '"' => Some('"'),
            '(' => Some(')'),
            '[' => Some(']'),
            '{' => Some('}'),
            _ => None,
        };
        let is_quoted = closing.last() == Some(&'"');
        if is_quoted && sign == '\\' {
            signs.next();
        } else if closing.last() == Some(&sign) {
            closing.pop();
        } else if let (Some(end), false) = (opened, is_quoted) {
            if closing.is_empty() {
                shown.push_str(MASK);
            }
            closing.push(end);
        } else if closing.is_empty() {
            shown.push(sign);
        }
    }
    shown
}

/// One word: each part of it that holds a digit is masked, and the signs between parts stay.
fn masked(word: &str) -> String {
    let is_sign = |sign: char| !(sign.is_alphanumeric() || sign == '_' || sign == '.');
    let parts = word.split_inclusive(is_sign);
    let masked = parts.map(|part| {
        let core = part.trim_end_matches(is_sign);
        let is_number = core.chars().any(|sign| sign.is_ascii_digit());
        let mask = if is_number && !is_code(core) { MASK } else { core };
        format!("{mask}{}", &part[core.len()..])
    });
    masked.collect()
}

/// Whether this is the code of an error, as in docs/errors.md.
fn is_code(word: &str) -> bool {
    let digits = word.strip_prefix('Q').unwrap_or("");
    digits.len() == 4 && digits.chars().all(|digit| digit.is_ascii_digit())
}
