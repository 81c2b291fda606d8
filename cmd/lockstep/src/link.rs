//! `lockstep device link`: this terminal becomes a sub device of whoever lets it.

use crate::chat::{DOOR, rest_url};
use crate::credentials::Credentials;
use anyhow::{Context, Result, bail};
use lockstep_client::{LinkOutcome, Links, NewDevice};
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use std::io::Write;
use std::path::PathBuf;

/// How to link.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The server's WebSocket door
    #[arg(long, default_value = DOOR)]
    server: String,
    /// What the device is to be called
    #[arg(long, default_value = "terminal")]
    name: String,
    /// What it runs on
    #[arg(long, default_value = std::env::consts::OS)]
    platform: String,
    /// The file that keeps what the device is and opens with; only its owner can read it
    #[arg(long, value_name = "FILE", default_value = "lockstep-device.json")]
    credentials: PathBuf,
}

/// Asks, shows the codes, and waits for the answer.
///
/// # Errors
///
/// If the server is not there, the link was refused or has expired, or the credentials cannot be kept.
pub(crate) async fn run(args: Args) -> Result<()> {
    let Args { server, name, platform, credentials: path } = args;
    if path.exists() {
        bail!("{} is there already: this is a linked device; name another file with --credentials", path.display());
    }
    let links = Links::new(rest_url(&server));
    let device = NewDevice { name: Some(name), platform: Some(platform), public_key: None };
    let asked = links.ask(&device).await.with_context(|| format!("no link from {server}"))?;
    let (first, last) = asked.code.split_at(asked.code.len() / 2);
    answer(&format!("{}\ncode {first}-{last}", drawn(&asked.qr)?))?;
    eprintln!("scan it with a main device; or type in its chat: /link {first}-{last}, then /approve");
    match links.wait(&asked).await? {
        LinkOutcome::Approved(session) => {
            let (user, device, refresh_token) = (session.user, session.device, session.refresh_token);
            let kept = Credentials { server, user: user.clone(), device, refresh_token };
            kept.write(&path).with_context(|| format!("the credentials cannot be kept in {}", path.display()))?;
            answer(&format!("linked {user} {device}"))?;
            eprintln!("go on with: lockstep chat --credentials {}", path.display());
            eprintln!("its history comes from a main device, which has to be connected at first");
            Ok(())
        }
        LinkOutcome::Refused { code, message } => bail!("{message} ({code})"),
        LinkOutcome::Expired => bail!("nobody has approved in time: `lockstep device link` shows another code"),
    }
}

/// A QR code in half blocks, two rows of dots a line: light dots are drawn, as most terminals are dark.
fn drawn(text: &str) -> Result<String> {
    let code = QrCode::new(text).context("the link fits no QR code")?;
    Ok(code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build())
}

fn answer(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_qr_code_is_a_square_with_a_margin() {
        let drawn = drawn("lockstep://link#link=019a2b1d-3333-7abc-8def-1234567890ab&scan=c2Nhbg").expect("it fits");
        let lines: Vec<&str> = drawn.lines().collect();
        let width = lines[0].chars().count();
        assert!(lines.iter().all(|line| line.chars().count() == width), "{drawn}");
        assert_eq!(lines.len(), width.div_ceil(2));
        // The margin is light, and so is drawn.
        assert!(lines[..2].iter().all(|line| line.chars().all(|c| c == '█')), "{drawn}");
        assert!(drawn.chars().any(|c| c == ' '), "{drawn}");
    }
}
