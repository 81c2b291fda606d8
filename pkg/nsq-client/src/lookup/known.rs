//! What nsqlookupds said, put together. No I/O.

use super::Watcher;
use crate::TopicName;
use crate::http::{LookupdNode, Node};
use std::collections::{HashMap, HashSet};

/// What one nsqlookupd says about the topics in use.
#[derive(Default)]
pub(super) struct Said {
    /// How many answers in a row were without it.
    misses: HashMap<(TopicName, Node), u32>,
}

impl Said {
    /// It has answered.
    pub(super) fn hear(&mut self, nodes: &[LookupdNode], topics: &HashSet<TopicName>, misses_max: u32) {
        for misses in self.misses.values_mut() {
            *misses += 1;
        }
        for node in nodes {
            // The names of all topics may be many; only those in use are kept.
            for topic in node.live_topics().filter_map(|topic| topics.get(topic)) {
                self.misses.insert((topic.clone(), node.node.clone()), 0);
            }
        }
        self.misses.retain(|(topic, _), misses| *misses < misses_max && topics.contains(topic));
    }

    /// It has not answered for too long.
    pub(super) fn forget(&mut self) {
        self.misses.clear();
    }
}

/// What the watcher was told.
#[derive(Default)]
pub(super) struct Known(HashSet<(TopicName, Node)>);

impl Known {
    /// These were out of use, however shortly: whoever uses them now was told nothing.
    pub(super) fn forget(&mut self, topics: &HashSet<TopicName>) {
        if !topics.is_empty() {
            self.0.retain(|(topic, _)| !topics.contains(topic));
        }
    }

    /// Tells the watcher what changed.
    pub(super) fn update<'a>(
        &mut self,
        said: impl Iterator<Item = &'a Said>,
        topics: &HashSet<TopicName>,
        watcher: &mut impl Watcher,
    ) {
        let now: HashSet<&(TopicName, Node)> = said.flat_map(|said| said.misses.keys()).collect();
        self.0.retain(|known| {
            let stays = now.contains(known) && topics.contains(&known.0);
            // Nothing is told of a topic that is no longer in use.
            if !stays && topics.contains(&known.0) {
                watcher.vanished(&known.0, &known.1);
            }
            stays
        });
        for (topic, node) in now.into_iter().filter(|(topic, _)| topics.contains(topic)) {
            let pair = (topic.clone(), node.clone());
            if self.0.insert(pair) {
                watcher.appeared(topic, node);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Told(Vec<String>);

    impl Watcher for Told {
        fn appeared(&mut self, topic: &TopicName, node: &Node) {
            self.0.push(format!("+{topic}@{}", node.hostname));
        }
        fn vanished(&mut self, topic: &TopicName, node: &Node) {
            self.0.push(format!("-{topic}@{}", node.hostname));
        }
    }

    fn node(name: &str, topics: &[&str]) -> LookupdNode {
        let node = Node { broadcast_address: name.into(), tcp_port: 1, http_port: 2, hostname: name.into() };
        let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
        LookupdNode { node, version: String::new(), topics, tombstones: vec![] }
    }

    fn topics(names: &[&str]) -> HashSet<TopicName> {
        names.iter().filter_map(|name| TopicName::new(name).ok()).collect()
    }

    /// Two nsqlookupds, asked period by period.
    #[derive(Default)]
    struct World {
        said: [Said; 2],
        known: Known,
    }

    impl World {
        /// `None` is no answer.
        fn period(&mut self, answers: [Option<&[LookupdNode]>; 2], topics: &HashSet<TopicName>) -> Vec<String> {
            for (said, answer) in self.said.iter_mut().zip(answers) {
                if let Some(nodes) = answer {
                    said.hear(nodes, topics, 3);
                }
            }
            let mut told = Told::default();
            self.known.update(self.said.iter(), topics, &mut told);
            told.0.sort();
            told.0
        }
    }

    #[test]
    fn nodes_appear_once_whoever_names_them() {
        let mut world = World::default();
        let in_use = topics(&["t", "u"]);
        let (a, b) = ([node("a", &["t", "other"])], [node("a", &["t"]), node("b", &["t", "u"])]);
        assert_eq!(world.period([Some(&a), Some(&b)], &in_use), ["+t@a", "+t@b", "+u@b"]);
        assert!(world.period([Some(&a), Some(&b)], &in_use).is_empty());
    }

    #[test]
    fn silence_takes_nothing_back_and_absence_does_after_some_answers() {
        let mut world = World::default();
        let in_use = topics(&["t"]);
        let a = [node("a", &["t"])];
        assert_eq!(world.period([Some(&a), None], &in_use), ["+t@a"]);
        for _ in 0..10 {
            assert!(world.period([None, None], &in_use).is_empty());
            assert!(world.period([None, Some(&[])], &in_use).is_empty());
        }
        assert!(world.period([Some(&[]), None], &in_use).is_empty());
        assert!(world.period([Some(&[]), None], &in_use).is_empty());
        // It comes back in time, and the count begins anew.
        assert!(world.period([Some(&a), None], &in_use).is_empty());
        assert!(world.period([Some(&[]), None], &in_use).is_empty());
        assert!(world.period([Some(&[]), None], &in_use).is_empty());
        assert_eq!(world.period([Some(&[]), None], &in_use), ["-t@a"]);
    }

    #[test]
    fn what_is_stale_is_forgotten_and_others_keep_it() {
        let mut world = World::default();
        let in_use = topics(&["t"]);
        let (a, b) = ([node("a", &["t"]), node("b", &["t"])], [node("b", &["t"])]);
        assert_eq!(world.period([Some(&a), Some(&b)], &in_use), ["+t@a", "+t@b"]);
        world.said[0].forget();
        assert_eq!(world.period([None, Some(&b)], &in_use), ["-t@a"]);
    }

    #[test]
    fn topics_out_of_use_are_not_told_of_and_begin_anew() {
        let mut world = World::default();
        let a = [node("a", &["t", "u"])];
        assert_eq!(world.period([Some(&a), None], &topics(&["t"])), ["+t@a"]);
        assert_eq!(world.period([Some(&a), None], &topics(&["u"])), ["+u@a"]);
        assert_eq!(world.period([Some(&a), None], &topics(&["t", "u"])), ["+t@a"]);
    }

    #[test]
    fn a_topic_that_was_out_of_use_between_two_periods_begins_anew() {
        let mut world = World::default();
        let in_use = topics(&["t", "u"]);
        let a = [node("a", &["t", "u"])];
        assert_eq!(world.period([Some(&a), None], &in_use), ["+t@a", "+u@a"]);
        world.known.forget(&topics(&["t"]));
        assert_eq!(world.period([Some(&a), None], &in_use), ["+t@a"]);
        // Its nsqlookupd may just have gone: what it said last stands.
        world.known.forget(&topics(&["t"]));
        assert_eq!(world.period([None, None], &in_use), ["+t@a"]);
    }

    #[test]
    fn tombstones_count_as_absence() {
        let mut world = World::default();
        let in_use = topics(&["t", "u"]);
        let a = LookupdNode { tombstones: vec![true], ..node("a", &["t", "u"]) };
        assert_eq!(world.period([Some(&[a]), None], &in_use), ["+u@a"]);
    }
}
