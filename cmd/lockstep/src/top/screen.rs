//! The terminal while a picture is shown: another screen (xterm's private mode 1049), which leaves no traces.

use std::io::{self, Write};

const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// To the upper left; each line is erased behind its end, and what is below the last one.
const HOME: &str = "\x1b[H";
const ERASE_LINE: &str = "\x1b[K";
const ERASE_BELOW: &str = "\x1b[J";
/// Where nobody knows the size.
const SIZE: (usize, usize) = (80, 24);

/// The other screen. Dropping it shows what was there before.
pub(super) struct Screen<W: Write> {
    out: W,
}

impl<W: Write> Screen<W> {
    /// Takes the terminal.
    ///
    /// # Errors
    ///
    /// If it cannot be written to.
    pub(super) fn enter(mut out: W) -> io::Result<Self> {
        out.write_all(ENTER.as_bytes())?;
        Ok(Self { out })
    }

    /// Shows a text instead of the one before, as far as it fits.
    ///
    /// # Errors
    ///
    /// If the terminal cannot be written to.
    pub(super) fn draw(&mut self, text: &str) -> io::Result<()> {
        let (columns, rows) = size();
        let lines: Vec<String> = text.lines().take(rows).map(|line| line.chars().take(columns).collect()).collect();
        let shown = lines.join(&format!("{ERASE_LINE}\r\n"));
        write!(self.out, "{HOME}{shown}{ERASE_LINE}{ERASE_BELOW}")?;
        self.out.flush()
    }
}

impl<W: Write> Drop for Screen<W> {
    fn drop(&mut self) {
        // If the terminal is gone, there is nothing to put in order.
        let _ = self.out.write_all(LEAVE.as_bytes()).and_then(|()| self.out.flush());
    }
}

/// Columns and rows of the terminal.
fn size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => SIZE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terminal_is_left_as_it_was() {
        let mut written = Vec::new();
        let mut screen = Screen::enter(&mut written).unwrap();
        screen.draw("one\ntwo").unwrap();
        screen.draw(&format!("{}\n", "x".repeat(10_000))).unwrap();
        drop(screen);
        let written = String::from_utf8(written).unwrap();
        assert!(written.starts_with("\x1b[?1049h\x1b[?25l\x1b[Hone\x1b[K\r\ntwo\x1b[K\x1b[J\x1b[H"), "{written:?}");
        assert!(written.ends_with("x\x1b[K\x1b[J\x1b[?25h\x1b[?1049l"), "{written:?}");
        assert!(written.len() < 1_000, "a line is no longer than the terminal is wide");
    }
}
