//! The local admin's password: given by a file or the environment, else drawn and shown once.
//!
//! Invariants
//! - The password is in no line of the log and no file of the daemon's: one that was drawn is
//!   printed to standard error, once, and only its hash is kept. Whoever collects standard error,
//!   as systemd does, has it too: there it is better given.
//! - A password that is given is judged before anything is opened.

use std::path::Path;

use quorate_core::config::{ConfigError, SecuritySettings};
use quorate_core::node::StartError;
use quorate_core::ports::{Entropy, Env};
use quorate_core::users::{ADMIN, LocalAdmin, PasswordHash, check_password, is_password_of};

use super::secret::private_text;

/// The password itself; it stands above a file.
const VARIABLE: &str = "QUORATE_ADMIN_PASSWORD";
/// Letters and digits that nobody takes for others: 5 bits each.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// So many of them: 130 bits.
const DRAWN_SIZE_BYTES: usize = 26;

/// The password that the environment or a file gives, if one does.
pub(super) fn given(
    settings: &SecuritySettings,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<String>, ConfigError> {
    let (source, password) = match (variable(VARIABLE), &settings.admin_password_file) {
        (Some(password), _) => (VARIABLE.to_owned(), password),
        (None, Some(path)) => {
            let source = format!("security.admin_password_file {}", path.display());
            let password = password_in(path).map_err(|detail| refused(&source, &detail))?;
            (source, password)
        }
        (None, None) => return Ok(None),
    };
    check_password(&password).map_err(|error| refused(&source, &error.to_string()))?;
    Ok(Some(password))
}

fn password_in(path: &Path) -> Result<String, String> {
    let text = private_text(path)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn refused(source: &str, detail: &str) -> ConfigError {
    ConfigError::AdminPassword { detail: format!("{source}: {detail}") }
}

/// The local admin of this data directory: as it was, with the password that is given, or, at the
/// first start, with one that is drawn and handed to `show`. Takes tens of milliseconds.
pub(super) fn settle(
    env: &Env,
    given: Option<String>,
    show: impl FnOnce(&str),
) -> Result<LocalAdmin, StartError> {
    let refused = |error: std::io::Error| StartError::Disk { detail: error.to_string() };
    let kept = LocalAdmin::load(&*env.disk).map_err(refused)?;
    let is_superseded = kept.as_ref().is_some_and(|kept| kept.is_superseded);
    let (password, is_drawn) = match (kept, given) {
        (Some(kept), None) => return Ok(kept),
        (Some(kept), Some(given)) if is_password_of(&kept.hash, &given) => return Ok(kept),
        (_, Some(given)) => (given, false),
        (None, None) => (drawn(&*env.entropy), true),
    };
    let mut salt = [0; 16];
    env.entropy.fill("password salt", &mut salt);
    let admin = LocalAdmin { hash: PasswordHash::new(&password, salt), is_superseded };
    // Shown first: one that is kept and was never shown would be lost.
    if is_drawn {
        show(&password);
    }
    admin.store(&*env.disk).map_err(refused)?;
    Ok(admin)
}

/// Prints what was drawn. Not through the log: that may be kept, sent and read by others.
pub(super) fn show(password: &str) {
    eprintln!("user {ADMIN}, password {password} (shown only now; only its hash is kept)");
}

fn drawn(entropy: &dyn Entropy) -> String {
    let mut bytes = [0; DRAWN_SIZE_BYTES];
    entropy.fill("admin password", &mut bytes);
    bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use quorate_core::ports::Env;
    use quorate_net::{BootClock, DataDisk, OsEntropy, TokioNet};

    use super::super::secret;
    use super::*;

    fn env(data_dir: &Path) -> Env {
        Env {
            clock: Arc::new(BootClock),
            net: Arc::new(TokioNet::new([127, 0, 0, 1].into())),
            disk: Arc::new(DataDisk::open(data_dir).unwrap()),
            entropy: Arc::new(OsEntropy),
        }
    }

    fn settled(env: &Env, given: Option<&str>) -> (LocalAdmin, Option<String>) {
        let mut shown = None;
        let admin = settle(env, given.map(str::to_owned), |text| shown = Some(text.to_owned()));
        (admin.unwrap(), shown)
    }

    #[test]
    fn a_password_is_drawn_once_and_shown_once_and_one_that_is_given_takes_its_place() {
        let place = tempfile::tempdir().unwrap();
        let env = env(place.path());
        let (first, shown) = settled(&env, None);
        let password = shown.expect("nobody gave one");
        assert_eq!(password.len(), DRAWN_SIZE_BYTES);
        assert!(is_password_of(&first.hash, &password));
        assert_eq!(settled(&env, None), (first.clone(), None), "it is kept");

        let (second, shown) = settled(&env, Some("correct horse"));
        assert!(shown.is_none() && is_password_of(&second.hash, "correct horse"));
        assert_eq!(settled(&env, Some("correct horse")).0, second, "the same salt");

        let put_away = LocalAdmin { is_superseded: true, ..second };
        put_away.store(&*env.disk).unwrap();
        assert!(settled(&env, Some("battery staple")).0.is_superseded, "the cluster's users hold");
    }

    #[test]
    fn what_is_no_password_is_refused_by_its_code_and_source() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("password");
        let mut settings = SecuritySettings::default();
        let mut code = |text: Option<&str>, in_file: Option<&str>| {
            settings.admin_password_file = in_file.map(|text| {
                secret::write(&path, text).unwrap();
                path.clone()
            });
            match given(&settings, |_| text.map(str::to_owned)) {
                Ok(given) => given.unwrap_or_default(),
                Err(error) => error.to_string()[..5].to_owned(),
            }
        };
        assert_eq!(code(None, None), "");
        assert_eq!(code(Some("correct horse"), None), "correct horse");
        assert_eq!(code(Some("correct horse"), Some("battery staple")), "correct horse");
        assert_eq!(code(None, Some("battery staple\n")), "battery staple");
        for (text, in_file) in [
            (Some(""), None),
            (Some("1234567"), None),
            (None, Some("")),
            (None, Some("1234567\n")),
            (Some(&"p".repeat(1_025)[..]), None),
        ] {
            assert_eq!(code(text, in_file), "Q1311", "{text:?} {in_file:?}");
        }
        settings.admin_password_file = Some(place.path().join("none"));
        let refused = given(&settings, |_| None).unwrap_err().to_string();
        assert!(refused.starts_with("Q1311 security.admin_password_file /"), "{refused}");
    }
}
