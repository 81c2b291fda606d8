//! How the source files read: crate docs, lengths, words that must not stand in them, unsafe code.

use super::Finding;
use super::repository::{File, Repository};

/// A file that is longer is split.
const LINES_MAX: usize = 600;
/// A file that is longer makes one think.
const LINES_GOOD: usize = 400;

/// Words that no text file may have. They are put together here, so that this file does not have them itself.
const WORDS_ANYWHERE: &[(&str, &str)] = &[
    (concat!("/ho", "me/"), "somebody's home folder: use a relative path"),
    (concat!("/ro", "ot/"), "somebody's home folder: use a relative path"),
    (concat!("/Us", "ers/"), "somebody's home folder: use a relative path"),
];

/// Words that no Rust file may have.
const WORDS_IN_RUST: &[(&str, &str)] = &[
    (concat!("todo", "!("), "finish it, or leave it out"),
    (concat!("unimplemented", "!("), "finish it, or leave it out"),
    (concat!("#[ign", "ore"), "a test runs, or it goes"),
];

/// What unsafe code cannot do without.
const UNSAFE_WORDS: &[&str] = &[
    concat!("uns", "afe {"),
    concat!("uns", "afe fn"),
    concat!("uns", "afe impl"),
    concat!("uns", "afe trait"),
    concat!("uns", "afe extern"),
    concat!("#[uns", "afe("),
    concat!("(uns", "afe_code)"),
];

/// Files that may have unsafe code. Each says in itself why.
const UNSAFE_FILES: &[&str] = &["internal/broker-embedded/tests/memory.rs"];

/// Every crate, and every test program, begins with `//!`.
pub(super) fn crate_docs(repository: &Repository) -> Vec<Finding> {
    let roots = repository.crates.iter().flat_map(|one| &one.roots);
    let bare = roots.filter(|path| !repository.text(path).is_some_and(|text| text.starts_with("//! ")));
    let message = "begin with `//!`: what it does, where it stands, what it must never do";
    bare.map(|path| Finding::error(path, message)).collect()
}

/// Files stay short.
pub(super) fn lengths(repository: &Repository) -> Vec<Finding> {
    let long = repository.rust_files().filter_map(|file| {
        let lines = file.text.lines().count();
        let message = format!("{lines} lines; good files have at most {LINES_GOOD}, and {LINES_MAX} is the limit");
        if lines > LINES_MAX {
            Some(Finding::error(&file.path, message))
        } else {
            (lines > LINES_GOOD).then(|| Finding::warning(&file.path, message))
        }
    });
    long.collect()
}

/// Some words stand nowhere.
pub(super) fn words(repository: &Repository) -> Vec<Finding> {
    let anywhere = repository.files.iter().flat_map(|file| occurrences(file, WORDS_ANYWHERE));
    let in_rust = repository.rust_files().flat_map(|file| occurrences(file, WORDS_IN_RUST));
    anywhere.chain(in_rust).collect()
}

/// Unsafe code stands only where it is listed, even if a crate allows it itself.
pub(super) fn unsafe_code(repository: &Repository) -> Vec<Finding> {
    let advice = "do without it, or list the file in UNSAFE_FILES and say why";
    let table: Vec<(&str, &str)> = UNSAFE_WORDS.iter().map(|word| (*word, advice)).collect();
    let files = repository.rust_files().filter(|file| !UNSAFE_FILES.contains(&file.path.as_str()));
    files.flat_map(|file| occurrences(file, &table)).collect()
}

fn occurrences(file: &File, words: &[(&str, &str)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        for (word, advice) in words.iter().filter(|(word, _)| line.contains(word)) {
            let place = format!("{}:{}", file.path, index + 1);
            findings.push(Finding::error(place, format!("{word:?} must not stand here: {advice}")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::repository::Crate;
    use super::*;

    fn repository(path: &str, text: &str) -> Repository {
        Repository {
            files: vec![File { path: path.into(), text: text.into() }],
            crates: vec![Crate { roots: vec![path.into()], ..Crate::default() }],
            ..Repository::default()
        }
    }

    #[test]
    fn crates_say_what_they_are() {
        assert!(crate_docs(&repository("pkg/x/src/lib.rs", "//! Does x.\n")).is_empty());
        assert_eq!(crate_docs(&repository("pkg/x/src/lib.rs", "pub mod y;\n")).len(), 1);
        assert_eq!(crate_docs(&repository("pkg/x/src/lib.rs", "")).len(), 1);
    }

    #[test]
    fn files_are_short() {
        let of_length = |lines: usize| lengths(&repository("a.rs", &"x\n".repeat(lines)));
        assert!(of_length(400).is_empty());
        assert!(!of_length(401)[0].error && !of_length(600)[0].error);
        assert!(of_length(601)[0].error);
        assert!(lengths(&repository("a.md", &"x\n".repeat(2_000))).is_empty());
    }

    #[test]
    fn forbidden_words_are_found() {
        for (word, _) in WORDS_ANYWHERE {
            let findings = words(&repository("docs/a.md", &format!("fine\nsee {word}somebody\n")));
            assert_eq!(findings.len(), 1, "{word}");
            assert_eq!(findings[0].place, "docs/a.md:2");
        }
        for (word, _) in WORDS_IN_RUST {
            assert_eq!(words(&repository("a.rs", &format!("    {word})"))).len(), 1, "{word}");
            assert!(words(&repository("a.md", word)).is_empty(), "{word}");
        }
        assert!(words(&repository("a.rs", "GET /users/ana; ignored; todo")).is_empty());
    }

    #[test]
    fn unsafe_code_is_found() {
        for word in UNSAFE_WORDS {
            assert_eq!(unsafe_code(&repository("a.rs", &format!("let x = {word} y }}"))).len(), 1, "{word}");
        }
        assert!(unsafe_code(&repository("a.rs", "// an unsafe idea")).is_empty());
    }
}
