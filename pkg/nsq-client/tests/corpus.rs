//! Replays what fuzzing has found worth keeping (`fuzz/corpus/nsq_codec`).

mod check;

use std::path::Path;

#[test]
fn what_fuzzing_found_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/nsq_codec");
    let mut count = 0;
    for file in std::fs::read_dir(&folder).expect("the corpus is part of the repository") {
        let path = file.expect("a file").path();
        check::bytes(&std::fs::read(&path).expect("a file of the corpus"));
        count += 1;
    }
    assert!(count > 20, "only {count} files in {}", folder.display());
}
