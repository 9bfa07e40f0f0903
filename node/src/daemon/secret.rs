//! Files with secrets, above all the cluster's: read once, and only if nobody else can read them.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use quorate_core::config::{ConfigError, SecuritySettings};
use quorate_core::security::ClusterSecret;

/// More than any secret or password; a longer file is refused by its size.
const FILE_SIZE_BYTES_MAX: u64 = 8_192;
/// What group and others must not be allowed.
const OTHERS: u32 = 0o077;

/// Reads what `secret_file` names, if it names anything.
pub(super) fn read(settings: &mut SecuritySettings) -> Result<(), ConfigError> {
    let Some(path) = &settings.secret_file else { return Ok(()) };
    let read = private_text(path)
        .and_then(|text| ClusterSecret::from_text(&text).map_err(|error| error.to_string()));
    let secret = read.map_err(|detail| ConfigError::Secret {
        detail: format!("security.secret_file {}: {detail}", path.display()),
    })?;
    settings.secret = Some(secret);
    Ok(())
}

/// What is in a file that its owner alone can read; else what is wrong with it.
pub(super) fn private_text(path: &Path) -> Result<String, String> {
    let failed = |error: std::io::Error| error.to_string();
    let file = File::open(path).map_err(failed)?;
    // Of the open file, so that nobody puts another in its place meanwhile.
    let found = file.metadata().map_err(failed)?;
    if !found.is_file() {
        return Err("it is no file".to_owned());
    }
    // SAFETY: it reads a number of this process, and cannot fail.
    let this_user = unsafe { libc::geteuid() };
    if ![this_user, 0].contains(&found.uid()) {
        return Err(format!("it belongs to user {}, not to this one", found.uid()));
    }
    if found.permissions().mode() & OTHERS != 0 {
        let mode = found.mode() & 0o7777;
        return Err(format!("others than its owner may use it (mode {mode:o}, not 600)"));
    }
    let mut text = String::new();
    file.take(FILE_SIZE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

/// Writes a secret as [`read`] wants it. For programs that set up clusters.
pub fn write(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn read_from(path: PathBuf) -> Result<(), String> {
        let mut settings =
            SecuritySettings { secret_file: Some(path), ..SecuritySettings::default() };
        read(&mut settings).map_err(|error| error.to_string())?;
        assert!(settings.secret.is_some());
        Ok(())
    }

    #[test]
    fn a_secret_is_read_only_from_a_file_that_its_owner_alone_can_read() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("secret");
        write(&path, &"s".repeat(32)).unwrap();
        assert_eq!(read_from(path.clone()), Ok(()));

        for mode in [0o640, 0o604, 0o660, 0o644] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refused = read_from(path.clone()).unwrap_err();
            let expected = format!("(mode {mode:o}, not 600)");
            assert!(refused.starts_with("Q1307 security.secret_file "), "{refused}");
            assert!(refused.contains(&expected), "{refused}");
        }
        write(&path, "short").unwrap();
        let refused = read_from(path).unwrap_err();
        assert!(refused.contains("has 5 bytes and not 32 to 4096"), "{refused}");
        assert!(read_from(place.path().join("none")).unwrap_err().contains("No such file"));
        assert!(read_from(place.path().to_owned()).unwrap_err().contains("it is no file"));
        assert_eq!(read(&mut SecuritySettings::default()), Ok(()), "without a file none is needed");
    }
}
