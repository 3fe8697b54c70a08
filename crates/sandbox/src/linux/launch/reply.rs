//! What the launcher answers when the program runs: the parts of a [`Running`](crate::Running).

use super::codec::{Malformed, Reader, Wiped, Writer, extended};
use super::request::{guarantee, tier};
use crate::{Enforced, Given};

/// A started program. Its link and its watcher travel beside it, in this order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Started {
    pub(super) pid: i32,
    pub(super) own_session: bool,
    pub(super) enforced: Enforced,
}

impl Started {
    pub(super) fn encode(&self) -> Wiped {
        let mut out = Writer::with_room(1024);
        out.number(extended(self.pid));
        out.byte(self.own_session.into());
        out.byte(self.enforced.tier() as u8);
        let given: Vec<_> = self.enforced.iter().collect();
        out.list(&given, |out, (guarantee, given)| {
            out.byte(*guarantee as u8);
            match given {
                Given::Yes => out.byte(0),
                Given::Guarded(weakness) => {
                    out.byte(1);
                    out.text(weakness);
                }
                Given::No(why) => {
                    out.byte(2);
                    out.text(why);
                }
            }
        });
        out.finish()
    }

    pub(super) fn decode(body: &[u8]) -> Result<Started, Malformed> {
        let mut from = Reader::new(body);
        let pid = from.signed()?;
        let own_session = from.flag()?;
        let tier = tier(from.byte()?)?;
        let given = from.list(|from| {
            let guarantee = guarantee(from.byte()?)?;
            let given = match from.byte()? {
                0 => Given::Yes,
                1 => Given::Guarded(from.string()?),
                2 => Given::No(from.string()?),
                _ => return Err(Malformed("neither given nor not")),
            };
            Ok((guarantee, given))
        })?;
        from.finish()?;
        Ok(Started { pid, own_session, enforced: Enforced::new(tier, given) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Guarantee, Tier};

    #[test]
    fn what_was_enforced_comes_back_as_it_was_read() {
        let given = vec![
            (Guarantee::N1, Given::Yes),
            (Guarantee::N2, Given::Guarded("a race".into())),
            (Guarantee::N3, Given::No("piped".into())),
        ];
        let enforced = Enforced::new(Tier::Hardened, given);
        let started = Started { pid: 4_000_000, own_session: true, enforced };
        let body = started.encode();
        assert_eq!(Started::decode(&body.0), Ok(started));
        for length in 0..body.0.len() {
            assert!(Started::decode(&body.0[..length]).is_err(), "{length}");
        }
    }
}
