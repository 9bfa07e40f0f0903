//! `quorate users`: who may ask the cluster, and as what.

use clap::{Args, Subcommand, ValueEnum};
use quorate_core::api::UserBody;
use quorate_core::users::Access;
use serde::Serialize;

use crate::cli::NodesArguments;
use crate::command::{self, CommandError};
use crate::exit::Exit;
use crate::login::{LoginError, asked, first_line_of_stdin};
use crate::nodes::Nodes;
use crate::profiles::ProfileError;

/// What can be done with users.
#[derive(Debug, Subcommand)]
pub enum UsersCommand {
    /// Print all users and their roles
    List {
        /// Whom to ask
        #[command(flatten)]
        nodes: NodesArguments,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Make a user
    Add {
        /// The name: 1 to 63 bytes, no colon
        name: String,
        /// What the user may do
        #[arg(long, value_enum, default_value_t = RoleArgument::Reader)]
        role: RoleArgument,
        /// The user's password
        #[command(flatten)]
        new: NewPasswordArguments,
        /// Whom to ask
        #[command(flatten)]
        nodes: NodesArguments,
    },
    /// Give a user another password, which holds on every node once it has applied it
    SetPassword {
        /// The user
        name: String,
        /// The new password
        #[command(flatten)]
        new: NewPasswordArguments,
        /// Whom to ask
        #[command(flatten)]
        nodes: NodesArguments,
    },
    /// Take a user away; the last admin stays
    Remove {
        /// The user
        name: String,
        /// Whom to ask
        #[command(flatten)]
        nodes: NodesArguments,
    },
}

/// What a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RoleArgument {
    /// Everything
    Admin,
    /// Read everything but users and tokens, write keys
    Writer,
    /// Read everything but users and tokens
    Reader,
}

impl From<RoleArgument> for Access {
    fn from(role: RoleArgument) -> Access {
        match role {
            RoleArgument::Admin => Access::Admin,
            RoleArgument::Writer => Access::Writer,
            RoleArgument::Reader => Access::Reader,
        }
    }
}

/// Where a new password comes from: QUORATE_NEW_PASSWORD, standard input, or the terminal.
#[derive(Args, Clone, Copy, Debug)]
pub struct NewPasswordArguments {
    /// Read the new password from the first line of standard input, or from the second one if
    /// --password-stdin takes the first; without it: QUORATE_NEW_PASSWORD, or the terminal
    #[arg(long)]
    new_password_stdin: bool,
}

impl NewPasswordArguments {
    fn read(self, user: &str) -> Result<String, LoginError> {
        if self.new_password_stdin {
            return first_line_of_stdin();
        }
        match std::env::var("QUORATE_NEW_PASSWORD") {
            Ok(password) if !password.is_empty() => Ok(password),
            _ => asked(user, "new password"),
        }
    }
}

#[derive(Serialize)]
struct ListOutput<'a> {
    version: u32,
    users: &'a [UserBody],
}

/// Does what the command says and prints why not.
pub fn run(command: UsersCommand) -> Exit {
    command::run(perform(command))
}

async fn perform(command: UsersCommand) -> Result<Exit, CommandError> {
    match command {
        UsersCommand::List { nodes, json } => {
            let users = Nodes::of(&nodes)?.client().users().await?;
            if json {
                return command::print_json(&ListOutput { version: 1, users: &users });
            }
            let mut text = format!("{:<24}{}\n", "USER", "ROLE");
            for UserBody { name, role } in &users {
                text += &format!("{name:<24}{role}\n");
            }
            return command::print(text.as_bytes());
        }
        UsersCommand::Add { name, role, new, nodes } => {
            let mut nodes = Nodes::of(&nodes)?;
            let password = new.read(&name).map_err(ProfileError::from)?;
            nodes.client().add_user(&name, role.into(), &password).await?;
            eprintln!("user {name} is there, a {}", Access::from(role));
        }
        UsersCommand::SetPassword { name, new, nodes } => {
            let mut nodes = Nodes::of(&nodes)?;
            let password = new.read(&name).map_err(ProfileError::from)?;
            nodes.client().set_password(&name, &password).await?;
            nodes.keep_password(&name, &password)?;
            eprintln!("user {name} has another password");
        }
        UsersCommand::Remove { name, nodes } => {
            Nodes::of(&nodes)?.client().remove_user(&name).await?;
            eprintln!("user {name} is gone");
        }
    }
    Ok(Exit::Good)
}
