//! Who a command asks as: user and password by options, environment or profile, else by a question
//! on the terminal.
//!
//! Invariants
//! - No password is printed, and `Debug` shows none.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, IsTerminal};

use clap::Args;
use quorate_core::users::ADMIN;
use serde::{Deserialize, Serialize};

use crate::exit::Exit;

/// The one tenant that there is.
const TENANT: &str = "default_tenant";

/// As whom to ask.
#[derive(Args, Clone, Default)]
pub struct LoginArguments {
    /// The user to ask as. QUORATE_USER says the same; else the profile's, or admin if there is a
    /// password only
    #[arg(short = 'u', long, value_name = "NAME")]
    pub user: Option<String>,
    /// The user's password. QUORATE_PASSWORD says the same, and shows it to fewer people; else the
    /// profile's, or asked for on a terminal
    #[arg(short = 'p', long, value_name = "PASSWORD", conflicts_with = "password_stdin")]
    pub password: Option<String>,
    /// Read the password from the first line of standard input
    #[arg(long)]
    pub password_stdin: bool,
    /// There is one tenant only, default_tenant
    #[arg(short = 't', long, value_name = "NAME")]
    pub tenant: Option<String>,
}

impl LoginArguments {
    /// Whether they say anything about user or password.
    pub fn is_given(&self) -> bool {
        self.user.is_some() || self.password.is_some() || self.password_stdin
    }
}

impl fmt::Debug for LoginArguments {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("LoginArguments").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Why it is not known as whom to ask.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// Nobody said it, and there is no terminal to ask on.
    #[error(
        "Q1631 no password of {user:?} is given; nothing was done; set QUORATE_PASSWORD, or use \
         --password-stdin"
    )]
    NoPassword {
        /// Whose.
        user: String,
    },
    /// There are no tenants.
    #[error(
        "Q1632 there is no tenant {tenant:?}; nothing was done; the only one is default_tenant"
    )]
    NoSuchTenant {
        /// What was asked for.
        tenant: String,
    },
    /// Standard input or the terminal.
    #[error("Q1633 the password cannot be read: {cause}; nothing was done; give it otherwise")]
    Unreadable {
        /// What the system said.
        #[from]
        cause: io::Error,
    },
    /// There is nobody to ask as.
    #[error("Q1634 neither user nor password is given; nothing was done; give --user")]
    Nobody,
}

impl LoginError {
    /// The exit code that says the same.
    pub fn exit(&self) -> Exit {
        match self {
            LoginError::NoPassword { .. } | LoginError::NoSuchTenant { .. } => Exit::Usage,
            LoginError::Nobody => Exit::Usage,
            LoginError::Unreadable { .. } => Exit::Failed,
        }
    }
}

/// A user and the password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The user's name.
    pub user: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Login({:?}, password hidden)", self.user)
    }
}

impl Login {
    /// As whom the arguments say, else the environment, else `kept`; `None` if nobody says it.
    pub fn of(
        arguments: &LoginArguments,
        variable: impl Fn(&str) -> Option<OsString>,
        kept: Option<Login>,
    ) -> Result<Option<Login>, LoginError> {
        if let Some(tenant) = arguments.tenant.clone().filter(|tenant| tenant != TENANT) {
            return Err(LoginError::NoSuchTenant { tenant });
        }
        let text = |name| variable(name)?.into_string().ok().filter(|text| !text.is_empty());
        let password = match arguments.password_stdin {
            true => Some(first_line_of_stdin()?),
            false => arguments.password.clone().or_else(|| text("QUORATE_PASSWORD")),
        };
        let user = arguments.user.clone().or_else(|| text("QUORATE_USER"));
        match (user, password) {
            (None, None) => Ok(kept),
            (None, Some(password)) => {
                let user = kept.map_or(ADMIN.to_owned(), |kept| kept.user);
                Ok(Some(Login { user, password }))
            }
            (Some(user), Some(password)) => Ok(Some(Login { user, password })),
            (Some(user), None) => match kept.filter(|kept| kept.user == user) {
                Some(kept) => Ok(Some(kept)),
                None => {
                    let password = asked(&user, "password")?;
                    Ok(Some(Login { user, password }))
                }
            },
        }
    }

    /// As whom the environment says.
    pub fn of_environment() -> Result<Option<Login>, LoginError> {
        Login::of(&LoginArguments::default(), |name| std::env::var_os(name), None)
    }
}

/// The first line, without its end; what follows can still be read.
pub fn first_line_of_stdin() -> Result<String, LoginError> {
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Asks on the terminal, without showing what is typed.
pub fn asked(user: &str, what: &str) -> Result<String, LoginError> {
    if !io::stdin().is_terminal() {
        return Err(LoginError::NoPassword { user: user.to_owned() });
    }
    Ok(rpassword::prompt_password(format!("{what} of {user}: "))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As whom, by option, environment and profile; or the code of the refusal.
    fn login(
        user: Option<&str>,
        password: Option<&str>,
        variables: &[(&str, &str)],
        kept: Option<(&str, &str)>,
    ) -> String {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let arguments = LoginArguments {
            user: owned(user),
            password: owned(password),
            ..LoginArguments::default()
        };
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
        };
        let kept = kept
            .map(|(user, password)| Login { user: user.to_owned(), password: password.to_owned() });
        match Login::of(&arguments, variable, kept) {
            Ok(None) => "nobody".to_owned(),
            Ok(Some(login)) => format!("{}:{}", login.user, login.password),
            Err(error) => error.to_string()[..5].to_owned(),
        }
    }

    #[test]
    fn options_stand_above_variables_and_these_above_the_profile() {
        let (user, password) = (("QUORATE_USER", "eve"), ("QUORATE_PASSWORD", "evening"));
        let kept = Some(("pat", "patience"));
        assert_eq!(login(None, None, &[], None), "nobody");
        assert_eq!(login(None, None, &[], kept), "pat:patience");
        assert_eq!(login(None, None, &[user, password], kept), "eve:evening");
        assert_eq!(login(Some("ann"), Some("anchovy"), &[user, password], kept), "ann:anchovy");
        assert_eq!(login(Some("ann"), None, &[password], kept), "ann:evening");
        assert_eq!(login(None, Some("anchovy"), &[], kept), "pat:anchovy");
        assert_eq!(login(None, Some("anchovy"), &[], None), "admin:anchovy");
        assert_eq!(login(Some("pat"), None, &[], kept), "pat:patience");
        let empty = [("QUORATE_USER", ""), ("QUORATE_PASSWORD", "")];
        assert_eq!(login(None, None, &empty, kept), "pat:patience");
    }

    #[test]
    fn there_is_one_tenant_and_a_password_is_never_shown() {
        let tenant = |name: &str| {
            let arguments =
                LoginArguments { tenant: Some(name.to_owned()), ..LoginArguments::default() };
            Login::of(&arguments, |_| None, None).map_err(|error| error.to_string()[..5].to_owned())
        };
        assert_eq!(tenant("default_tenant"), Ok(None));
        assert_eq!(tenant("other"), Err("Q1632".to_owned()));
        let arguments =
            LoginArguments { password: Some("anchovy".to_owned()), ..LoginArguments::default() };
        let login = Login { user: "ann".to_owned(), password: "anchovy".to_owned() };
        assert!(!format!("{arguments:?} {login:?}").contains("anchovy"));
    }
}
