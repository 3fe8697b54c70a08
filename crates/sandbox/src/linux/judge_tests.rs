//! What is said of a start on kernels, and for users, that are not at hand.

use super::super::board::Board;
use super::*;

const IMAGE: (u64, u64) = (1, 2);

fn expected(tier: Tier) -> Expected {
    Expected {
        tier,
        engine: Engine::Private,
        core_is_piped: true,
        image: IMAGE,
        leased: true,
        landlock: 7,
        unanswered: None,
        readable: None,
        private_group: false,
        shared_group: None,
        dumpable: false,
        loader: false,
        pins: Pins::None,
    }
}

/// Everything in force, as in Lockdown with a sealed image.
fn board() -> Board {
    let board = Board::new();
    for fact in [
        Fact::Outer,
        Fact::Inner,
        Fact::CoreSoft,
        Fact::CoreHard,
        Fact::NoNewPrivileges,
        Fact::Lease,
        Fact::Domain,
        Fact::Filter,
        Fact::Listener,
        Fact::Limits,
        Fact::Unreadable,
    ] {
        board.set(fact, 1);
    }
    board.set(Fact::DeathSignal, libc::SIGKILL as u64);
    board.set(Fact::Refused, u64::MAX);
    board.set(Fact::ImageDevice, IMAGE.0);
    board.set(Fact::ImageInode, IMAGE.1);
    board
}

fn missing_of(board: &Board, expected: &Expected) -> Vec<(Guarantee, String)> {
    let judged = judge(&board.facts(), expected, &Given::Yes);
    let no = |(guarantee, given)| match given {
        Given::No(why) => Some((guarantee, why)),
        Given::Yes | Given::Guarded(_) => None,
    };
    judged.into_iter().filter_map(no).collect()
}

fn ids(missing: &[(Guarantee, String)]) -> Vec<&'static str> {
    missing.iter().map(|(guarantee, _)| guarantee.id()).collect()
}

#[test]
fn with_everything_in_force_nothing_is_missing() {
    for tier in [Tier::None, Tier::Hardened, Tier::Lockdown] {
        assert_eq!(missing_of(&board(), &expected(tier)), []);
    }
}

#[test]
fn an_older_landlock_takes_away_what_it_does_not_have() {
    for version in 0..=8 {
        let expected = Expected { landlock: version, ..expected(Tier::Lockdown) };
        let missing = missing_of(&board(), &expected);
        let lost: &[&str] = match version {
            0..=2 => &["H1", "H2", "L3", "L4"],
            3..=5 => &["H1"],
            _ => &[],
        };
        assert_eq!(ids(&missing), lost, "version {version}");
        for (_, why) in missing {
            let names = if version == 0 {
                why == "the kernel has no Landlock"
            } else {
                why.contains(&version.to_string())
            };
            assert!(names, "{why}");
        }
    }
}

#[test]
fn each_fact_that_fails_takes_its_guarantees_and_no_others() {
    let cases: [(Fact, u64, &[&str]); 15] = [
        (Fact::Outer, 0, &["N1", "N2"]),
        (Fact::Inner, 0, &["N1", "N2"]),
        (Fact::DeathSignal, 15, &["N1"]),
        (Fact::CoreSoft, 0, &["N3"]),
        (Fact::CoreHard, u64::MAX, &["N3"]),
        (Fact::Stray, 8, &["N4"]),
        (Fact::NoNewPrivileges, 0, &["N5"]),
        (Fact::Capable, 1, &["N5"]),
        (Fact::ImageInode, 3, &["N6"]),
        (Fact::Lease, 0, &["N6"]),
        (Fact::Domain, 0, &["H1", "H2", "L3", "L4"]),
        (Fact::Filter, 0, &["H3"]),
        (Fact::Limits, 0, &["L5"]),
        (Fact::Unreadable, 0, &["L6"]),
        (Fact::Refused, 0, &["H1", "H2", "H3", "L1", "L2", "L3", "L4", "L6"]),
    ];
    for (fact, value, lost) in cases {
        let board = board();
        board.set(fact, value);
        assert_eq!(ids(&missing_of(&board, &expected(Tier::Lockdown))), lost, "{fact:?}");
    }
}

#[test]
fn each_attempt_that_succeeds_is_told() {
    let cases: [(Attempt, Tier, &[&str]); 12] = [
        (Attempt::Floor, Tier::Hardened, &["H3"]),
        (Attempt::Namespace, Tier::Hardened, &["H3"]),
        (Attempt::Calls, Tier::Hardened, &["H1", "H3"]),
        (Attempt::Ipc, Tier::Hardened, &["H1"]),
        (Attempt::Keyring, Tier::Hardened, &["H2"]),
        (Attempt::Datagram, Tier::Hardened, &["H2"]),
        (Attempt::Signal, Tier::Hardened, &["H1"]),
        (Attempt::Files, Tier::Hardened, &["H2"]),
        (Attempt::Fork, Tier::Lockdown, &["L1", "L6"]),
        (Attempt::Execute, Tier::Lockdown, &["L1", "L6"]),
        (Attempt::Network, Tier::Lockdown, &["L2"]),
        (Attempt::Root, Tier::Lockdown, &["L3"]),
    ];
    for (attempt, tier, lost) in cases {
        let board = board();
        let others = if tier == Tier::Hardened { !Attempt::Network.bit() } else { u64::MAX };
        board.set(Fact::Refused, others & !attempt.bit());
        assert_eq!(ids(&missing_of(&board, &expected(tier))), lost, "{attempt:?}");
    }
}

#[test]
fn a_strict_yama_takes_the_judgement_of_connections() {
    let board = board();
    board.set(Fact::Refused, !Attempt::Network.bit());
    let expected = Expected { unanswered: Some("strict"), ..expected(Tier::Hardened) };
    assert_eq!(missing_of(&board, &expected), [(Guarantee::H2, "strict".to_owned())]);
}

#[test]
fn a_private_group_gives_l6_in_every_tier_when_it_is_private() {
    let with_group = |tier| {
        let board = board();
        board.set(Fact::PrivateGroup, 1);
        board.set(Fact::Unreadable, 0);
        (board, Expected { private_group: true, ..expected(tier) })
    };
    for tier in [Tier::None, Tier::Hardened, Tier::Lockdown] {
        let (board, expected) = with_group(tier);
        let judged = judge(&board.facts(), &expected, &Given::Yes);
        assert!(judged.contains(&(Guarantee::L6, Given::Yes)), "{tier}");

        let shared = Expected { shared_group: Some("a member"), ..expected };
        assert_eq!(ids(&missing_of(&board, &shared)), ["L6"], "{tier}");
        let root = Expected { readable: Some("root"), ..expected };
        assert_eq!(ids(&missing_of(&board, &root)), ["L6"], "{tier}");
        for needed in [Fact::PrivateGroup, Fact::Domain] {
            board.set(needed, 0);
            assert!(ids(&missing_of(&board, &expected)).contains(&"L6"), "{tier} without {needed:?}");
            board.set(needed, 1);
        }
    }
    let judged = judge(&board().facts(), &expected(Tier::Hardened), &Given::Yes);
    assert!(
        !judged.iter().any(|(guarantee, _)| *guarantee == Guarantee::L6),
        "not claimed without the group"
    );
}

#[test]
fn an_unreadable_image_is_no_protection_where_such_programs_are_dumpable() {
    let expected = Expected { dumpable: true, ..expected(Tier::Lockdown) };
    let missing = missing_of(&board(), &expected);
    assert_eq!(ids(&missing), ["L6"]);
    assert!(missing[0].1.contains("suid_dumpable"));
}

#[test]
fn the_owner_of_a_user_namespace_reads_it_unless_the_loader_is_closed() {
    let expected = Expected { engine: Engine::Namespaces, ..expected(Tier::Lockdown) };
    let board = board();
    board.set(Fact::Namespaces, u64::MAX);
    board.set(Fact::Mounts, 1);
    assert_eq!(ids(&missing_of(&board, &expected)), ["L6"]);
    board.set(Fact::Loader, 1);
    assert_eq!(missing_of(&board, &Expected { loader: true, ..expected }), []);
    board.set(Fact::Namespaces, 1);
    assert_eq!(ids(&missing_of(&board, &Expected { loader: true, ..expected })), ["N1", "N2", "H1"]);
}
