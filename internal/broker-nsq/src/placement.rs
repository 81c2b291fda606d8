//! Which nsqd has a topic.

use sha2::{Digest, Sha256};

/// The index of the nsqd that a topic is placed on: the one whose hash with the topic's name is the highest (rendezvous
/// hashing), so that a change of the set moves only the topics of what came or went. `None` if there are none.
pub(crate) fn place<'a>(nsqds: impl Iterator<Item = &'a str>, topic: &str) -> Option<usize> {
    let score = |nsqd: &str| {
        let mut hash = Sha256::new();
        hash.update((nsqd.len() as u64).to_be_bytes());
        hash.update(nsqd);
        hash.update(topic);
        hash.finalize()
    };
    // Of equals the one with the smaller name, so that the order of the list does not matter.
    nsqds.enumerate().max_by_key(|(_, nsqd)| (score(nsqd), std::cmp::Reverse(*nsqd))).map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_does_not_matter_and_a_loss_moves_only_its_own() {
        let all = ["a:4150", "b:4150", "c:4150", "d:4150"];
        let turned = ["c:4150", "a:4150", "d:4150", "b:4150"];
        let fewer = ["a:4150", "b:4150", "d:4150"];
        let mut of = [0; 4];
        for number in 0..4_000 {
            let topic = format!("lockstep.{number}");
            let place = |nsqds: &[&'static str]| nsqds[place(nsqds.iter().copied(), &topic).expect("there are some")];
            let chosen = place(&all);
            assert_eq!(place(&turned), chosen);
            if chosen != "c:4150" {
                assert_eq!(place(&fewer), chosen);
            }
            of[all.iter().position(|nsqd| *nsqd == chosen).expect("one of them")] += 1;
        }
        assert!(of.iter().all(|count| (800..1_200).contains(count)), "{of:?}");
        assert_eq!(place([].into_iter(), "lockstep.x"), None);
    }
}
