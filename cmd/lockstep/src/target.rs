//! Which server an administrating command means: the one on a data folder, or one elsewhere.

use crate::admin;
use crate::cli::Place;
use anyhow::{Context, Result, ensure};
use clap::Args;
use lockstep_server::admin::{AdminClient, AdminError};
use std::path::PathBuf;

/// The server that is meant.
#[derive(Debug, Args)]
pub(crate) struct Target {
    #[command(flatten)]
    place: Place,
    /// A server elsewhere, such as http://10.0.0.5:8080, instead of the one on the data folder. What is said passes in clear
    /// text
    #[arg(long, value_name = "URL", requires = "token_file", conflicts_with_all = ["data", "config"])]
    server: Option<String>,
    /// The file with the token of a service that has the scope admin there
    #[arg(long, value_name = "FILE", requires = "server")]
    token_file: Option<PathBuf>,
}

/// A client of that server, and how to say that it is not there.
#[derive(Debug)]
pub(crate) struct Administration {
    /// The client.
    pub(crate) client: AdminClient,
    /// The data folder, if the server is meant by it.
    data: Option<PathBuf>,
}

impl Target {
    /// The client.
    ///
    /// # Errors
    ///
    /// If the configuration or the URL is wrong, or the token cannot be read.
    pub(crate) fn administration(&self) -> Result<Administration> {
        let (Some(url), Some(file)) = (&self.server, &self.token_file) else {
            let data = self.place.data_folder()?;
            return Ok(Administration { client: admin::client(&data), data: Some(data) });
        };
        let read = || format!("the token cannot be read from {}", file.display());
        let token = std::fs::read_to_string(file).with_context(read)?;
        let is_one = !token.trim().is_empty() && !token.trim().contains(|letter: char| !letter.is_ascii_graphic());
        ensure!(is_one, "{} has to hold one token and nothing else", file.display());
        Ok(Administration { client: AdminClient::at(url, token.trim())?, data: None })
    }
}

impl Administration {
    /// Adds what a person can do about it to an error.
    ///
    /// # Errors
    ///
    /// The one that was passed in.
    pub(crate) fn explain<T>(&self, result: Result<T, AdminError>) -> Result<T> {
        match &self.data {
            Some(data) => admin::explain(data, result),
            None => Ok(result?),
        }
    }
}
