//! Places for consumers, of which there are so many, and who waits for one.

use lockstep_model::DeviceId;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};

/// A number in the line: who has the lowest has waited the longest.
pub(crate) type Number = u64;

/// So many places. Who finds none waits, and gets one that is given back. As long as those who wait.
pub(crate) struct Line<W> {
    max: usize,
    taken: usize,
    waiting: BTreeMap<Number, W>,
}

impl<W> Line<W> {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, taken: 0, waiting: BTreeMap::new() }
    }

    /// Takes a place, or waits for one: false.
    pub(crate) fn take(&mut self, number: Number, who: W) -> bool {
        let is_free = self.taken < self.max;
        if is_free {
            self.taken += 1;
        } else {
            self.waiting.insert(number, who);
        }
        is_free
    }

    /// Waits no longer. False if it did not wait, or has just been given a place.
    pub(crate) fn leave(&mut self, number: Number) -> bool {
        self.waiting.remove(&number).is_some()
    }

    /// Gives a place back, and returns whose it is now, if anybody waited.
    pub(crate) fn give_back(&mut self) -> Option<(Number, W)> {
        let next = self.waiting.pop_first();
        self.taken -= usize::from(next.is_none());
        next
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

/// Places for the consumers of devices: so many for each device, and so many in all.
pub(crate) struct ConsumerPlaces<W> {
    per_device_max: usize,
    state: Mutex<State<W>>,
}

struct State<W> {
    next: Number,
    /// Who waits here has a place of its device.
    all: Line<W>,
    /// Those that have a place, if only one that waits for one of all.
    devices: HashMap<DeviceId, Line<W>>,
}

/// What became of a place.
pub(crate) struct GivenBack<W> {
    /// Whose it is now.
    pub(crate) next: Option<(Number, W)>,
    /// Whether its device has no other.
    pub(crate) was_last: bool,
}

impl<W: Clone> ConsumerPlaces<W> {
    pub(crate) fn new(per_device_max: usize, max: usize) -> Self {
        let state = State { next: 0, all: Line::new(max), devices: HashMap::new() };
        Self { per_device_max, state: Mutex::new(state) }
    }

    /// Takes a place, or waits for one with this number.
    pub(crate) fn take(&self, device: DeviceId, who: W) -> Result<(), Number> {
        let mut state = self.state.lock();
        let number = state.next;
        state.next += 1;
        let of_device = state.devices.entry(device).or_insert_with(|| Line::new(self.per_device_max));
        if of_device.take(number, who.clone()) && state.all.take(number, who) { Ok(()) } else { Err(number) }
    }

    /// Waits no longer. Who has just been given a place instead gives that back. True if the device has none any more.
    pub(crate) fn leave(&self, device: DeviceId, number: Number) -> bool {
        let mut state = self.state.lock();
        if state.all.leave(number) {
            // There is none of all, so whoever gets its place of the device waits for one too.
            return state.give_back_of(device).was_last;
        }
        if let Some(of_device) = state.devices.get_mut(&device) {
            of_device.leave(number);
        }
        false
    }

    /// Gives a place back.
    pub(crate) fn give_back(&self, device: DeviceId) -> GivenBack<W> {
        let mut state = self.state.lock();
        let GivenBack { next, was_last } = state.give_back_of(device);
        GivenBack { next: state.all.give_back().or(next), was_last }
    }

    /// Whether a device has places, or waits for one.
    pub(crate) fn has(&self, device: DeviceId) -> bool {
        self.state.lock().devices.contains_key(&device)
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        let state = self.state.lock();
        state.all.waiting() + state.devices.values().map(Line::waiting).sum::<usize>()
    }
}

impl<W: Clone> State<W> {
    /// Gives a place of a device back. Whoever gets it takes one of all, or waits for that.
    fn give_back_of(&mut self, device: DeviceId) -> GivenBack<W> {
        let Some(of_device) = self.devices.get_mut(&device) else { return GivenBack { next: None, was_last: true } };
        let next = of_device.give_back();
        let was_last = of_device.taken == 0;
        if was_last {
            self.devices.remove(&device);
        }
        let next = next.filter(|(number, who)| self.all.take(*number, who.clone()));
        GivenBack { next, was_last }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scene {
        places: ConsumerPlaces<&'static str>,
        devices: [DeviceId; 3],
    }

    impl Scene {
        fn set(per_device_max: usize, max: usize) -> Self {
            let devices = std::array::from_fn(|_| DeviceId::generate());
            Self { places: ConsumerPlaces::new(per_device_max, max), devices }
        }

        fn take(&self, device: usize, who: &'static str) -> Option<Number> {
            self.places.take(self.devices[device], who).err()
        }

        /// Who gets the place.
        fn give_back(&self, device: usize) -> Option<&'static str> {
            self.places.give_back(self.devices[device]).next.map(|(_, who)| who)
        }

        fn has(&self) -> [bool; 3] {
            self.devices.map(|device| self.places.has(device))
        }
    }

    #[test]
    fn a_place_of_a_device_goes_to_its_next() {
        let scene = Scene::set(2, 10);
        assert_eq!((scene.take(0, "a"), scene.take(0, "b")), (None, None));
        let waiting = [scene.take(0, "c"), scene.take(0, "d"), scene.take(0, "e")].map(|number| number.expect("full"));
        assert_eq!((scene.take(1, "other"), scene.places.waiting()), (None, 3));
        assert!(!scene.places.leave(scene.devices[0], waiting[0]));
        assert_eq!(scene.give_back(0), Some("d"));
        assert_eq!((scene.give_back(1), scene.give_back(0), scene.give_back(0)), (None, Some("e"), None));
        assert_eq!((scene.has(), scene.places.waiting()), ([true, false, false], 0));
        assert!(scene.places.give_back(scene.devices[0]).was_last);
        assert_eq!(scene.has(), [false; 3]);
    }

    #[test]
    fn a_place_of_all_goes_to_whoever_has_waited_the_longest() {
        let scene = Scene::set(2, 2);
        assert_eq!((scene.take(0, "a"), scene.take(0, "b")), (None, None));
        // This one waits for its device, the next for all of them.
        let of_device = scene.take(0, "c").expect("full");
        assert!(scene.take(1, "d").is_some() && scene.take(2, "e").is_some());
        assert_eq!(scene.give_back(0), Some("c"), "it came first");
        assert_eq!((scene.give_back(0), scene.give_back(0)), (Some("d"), Some("e")));
        assert_eq!((scene.has(), scene.places.waiting()), ([false, true, true], 0));
        assert!(!scene.places.leave(scene.devices[0], of_device), "it waits no longer");
        assert_eq!((scene.give_back(1), scene.give_back(2), scene.has()), (None, None, [false; 3]));
    }

    #[test]
    fn who_leaves_lets_the_next_of_its_device_wait_for_all() {
        let scene = Scene::set(1, 1);
        assert_eq!(scene.take(0, "a"), None);
        let first = scene.take(1, "b").expect("full");
        assert!(scene.take(1, "c").is_some());
        let last = scene.take(2, "d").expect("full");
        assert!(!scene.places.leave(scene.devices[1], first));
        assert!(scene.places.leave(scene.devices[2], last), "it had no other");
        assert_eq!((scene.give_back(0), scene.give_back(1), scene.has()), (Some("c"), None, [false; 3]));
    }

    /// However they come and go: never more than there are, and nobody waits beside a free place.
    #[test]
    fn no_place_is_lost_or_made() {
        let (per_device_max, max) = (3, 5);
        let scene = Scene::set(per_device_max, max);
        let (mut held, mut waiting) = ([0; 3], Vec::new());
        let mut random = 7_u64;
        for _ in 0..10_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let device = (random >> 33) as usize % 3;
            match random >> 40 & 3 {
                0 | 1 => match scene.take(device, ["0", "1", "2"][device]) {
                    None => held[device] += 1,
                    Some(number) => waiting.push((device, number)),
                },
                2 if !waiting.is_empty() => {
                    let (device, number) = waiting.swap_remove((random >> 45) as usize % waiting.len());
                    scene.places.leave(scene.devices[device], number);
                }
                3 if held[device] > 0 => {
                    held[device] -= 1;
                    if let Some((number, who)) = scene.places.give_back(scene.devices[device]).next {
                        let next = who.parse::<usize>().expect("a number");
                        held[next] += 1;
                        waiting.retain(|one| *one != (next, number));
                    }
                }
                _ => {}
            }
            assert!(held.iter().all(|held| *held <= per_device_max) && held.iter().sum::<usize>() <= max);
            let could = |device: &usize| held[*device] < per_device_max && held.iter().sum::<usize>() < max;
            assert!(!waiting.iter().any(|(device, _)| could(device)), "{held:?} {waiting:?}");
            assert_eq!(scene.places.waiting(), waiting.len());
        }
    }
}
