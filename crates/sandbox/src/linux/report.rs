//! The records between the inner watcher and the supervisor: fixed size, one a packet.

use super::board::Facts;

/// How many facts a record carries.
pub(super) const FACTS: usize = 21;
const WORDS: usize = 4 + FACTS;
/// Bytes of a report.
pub(super) const REPORT: usize = WORDS * 8;
/// Bytes of an order.
pub(super) const ORDER: usize = 8;

/// What the watchers tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Report {
    /// The program runs.
    Started { pid: i32, facts: Facts },
    /// A step failed before anything was executed.
    Failed { step: u32, errno: i32 },
    /// Nothing was executed, because a guarantee does not hold.
    Lacking { facts: Facts },
    /// The program was stopped by a signal.
    Stopped { signal: i32 },
    /// It runs again.
    Continued,
    /// It ended with a status; its tree is gone.
    Exited { code: i32 },
    /// A signal ended it; its tree is gone.
    Killed { signal: i32 },
}

impl Report {
    pub(super) fn encode(self) -> [u8; REPORT] {
        let none = Facts([0; FACTS]);
        let (kind, a, b, facts) = match self {
            Report::Started { pid, facts } => (1, pid, 0, facts),
            Report::Failed { step, errno } => (2, step as i32, errno, none),
            Report::Lacking { facts } => (3, 0, 0, facts),
            Report::Stopped { signal } => (4, signal, 0, none),
            Report::Continued => (5, 0, 0, none),
            Report::Exited { code } => (6, code, 0, none),
            Report::Killed { signal } => (7, signal, 0, none),
        };
        let mut bytes = [0; REPORT];
        let head = [kind, i64::from(a) as u64, i64::from(b) as u64, 0];
        for (place, word) in bytes.chunks_exact_mut(8).zip(head.into_iter().chain(facts.0)) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8; REPORT]) -> Option<Report> {
        let word = |place: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[place * 8..place * 8 + 8]);
            u64::from_ne_bytes(word)
        };
        let facts = Facts(std::array::from_fn(|place| word(4 + place)));
        let (a, b) = (word(1) as i32, word(2) as i32);
        Some(match word(0) {
            1 => Report::Started { pid: a, facts },
            2 => Report::Failed { step: a as u32, errno: b },
            3 => Report::Lacking { facts },
            4 => Report::Stopped { signal: a },
            5 => Report::Continued,
            6 => Report::Exited { code: a },
            7 => Report::Killed { signal: a },
            _ => return None,
        })
    }
}

/// What the supervisor asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Send this signal to the program.
    Signal(i32),
    /// Send this signal to the program's process group, when it has one of its own.
    Group(i32),
    /// End every process of the tree.
    End,
}

impl Order {
    pub(super) fn encode(self) -> [u8; ORDER] {
        let (kind, signal) = match self {
            Order::Signal(signal) => (1_u32, signal),
            Order::Group(signal) => (2, signal),
            Order::End => (3, 0),
        };
        let mut bytes = [0; ORDER];
        bytes[..4].copy_from_slice(&kind.to_ne_bytes());
        bytes[4..].copy_from_slice(&signal.to_ne_bytes());
        bytes
    }

    pub(super) fn decode(bytes: [u8; ORDER]) -> Option<Order> {
        let [a, b, c, d, e, f, g, h] = bytes;
        let signal = i32::from_ne_bytes([e, f, g, h]);
        match u32::from_ne_bytes([a, b, c, d]) {
            1 => Some(Order::Signal(signal)),
            2 => Some(Order::Group(signal)),
            3 => Some(Order::End),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_they_were_written() {
        let facts = Facts(std::array::from_fn(|place| place as u64 * 3));
        let reports = [
            Report::Started { pid: 7, facts },
            Report::Failed { step: 3, errno: 13 },
            Report::Lacking { facts },
            Report::Stopped { signal: 20 },
            Report::Continued,
            Report::Exited { code: 255 },
            Report::Killed { signal: 9 },
        ];
        for report in reports {
            assert_eq!(Report::decode(&report.encode()), Some(report));
        }
        for order in [Order::Signal(15), Order::Group(18), Order::End] {
            assert_eq!(Order::decode(order.encode()), Some(order));
        }
        assert_eq!(Report::decode(&[0; REPORT]), None);
        assert_eq!(Order::decode([9; ORDER]), None);
    }
}
