//! Tables and properties of `decide`.

use envseal_vault::{Confinement, Delivery, EngineName, SecretRule, TierName};
use proptest::prelude::*;

use super::*;
use crate::request::tests::{any_confinement, sample};
use crate::request::{Request, Wanted};

const NOW: u64 = 1_800_000_000;
const ID: GrantId = GrantId(1);

/// A grant that allows exactly [`sample`].
fn grant() -> Grant {
    let request = sample();
    Grant {
        effect: Effect::Allow,
        secrets: vec![SecretRule { name: "TOKEN".parse().unwrap(), variable: None }],
        program: request.program,
        called: Some(request.called),
        shebang: false,
        script: None,
        script_as: None,
        pins: vec![],
        args: ArgsRule::Exact(request.args.iter().map(OsText::from).collect()),
        cwd: None,
        caller: CallerRule::Any,
        tier: TierName::None,
        confinement: Confinement::default(),
        deliver: Delivery::Env,
        raw: false,
        pass: vec![],
        fixed: Default::default(),
        created: NOW - 10,
        expires: Some(NOW + 10),
        uses: None,
    }
}

fn deny() -> Grant {
    Grant { effect: Effect::Deny, args: ArgsRule::Any, ..grant() }
}

fn decide_one(request: &Request, grant: Grant) -> Decision {
    decide(request, &[(ID, grant)], NOW)
}

#[test]
fn nothing_is_allowed_by_nothing() {
    assert!(matches!(decide(&sample(), &[], NOW), Decision::Ask(Why::NoGrant { .. })));
}

#[test]
fn the_exact_request_is_allowed() {
    assert_eq!(decide_one(&sample(), grant()), Decision::Allow(ID));
}

#[test]
fn each_condition_of_a_grant_is_one_that_refuses() {
    type Change = fn(&mut Request, &mut Grant);
    let table: &[(Differs, Change)] = &[
        (Differs::Secrets, |r, _| {
            r.secrets.push(Wanted { name: "OTHER".parse().unwrap(), variable: "OTHER".parse().unwrap() })
        }),
        (Differs::Secrets, |r, _| r.secrets[0].variable = "ELSEWHERE".parse().unwrap()),
        (Differs::Secrets, |_, g| g.secrets[0].variable = Some("ELSEWHERE".parse().unwrap())),
        (Differs::Script, |r, _| r.script = Some(r.program.clone())),
        (Differs::Script, |_, g| g.script = Some(g.program.clone())),
        (Differs::Script, |r, _| r.shebang = true),
        (Differs::Script, |r, _| r.script_as = Some("/tmp/link".into())),
        (Differs::Args, |r, _| r.args.push("--verbose".into())),
        (Differs::Args, |r, _| r.args.clear()),
        (Differs::Args, |r, _| r.args[0] = "https://evil.example".into()),
        (Differs::Args, |_, g| g.args = ArgsRule::Prefix(vec!["--get".into()])),
        (Differs::Args, |_, g| g.args = ArgsRule::Prefix(vec!["https://example.org".into(), "x".into()])),
        (Differs::Arbitrary, |r, g| (r.arbitrary, g.args) = (true, ArgsRule::Any)),
        (Differs::Arbitrary, |r, g| (r.arbitrary, g.args) = (true, ArgsRule::Prefix(vec![]))),
        (Differs::Called, |r, _| r.called = "sh".into()),
        (Differs::Cwd, |_, g| g.cwd = Some("/elsewhere".into())),
        (Differs::Caller, |_, g| g.caller = CallerRule::Terminal),
        (Differs::Caller, |r, g| (r.terminal, r.shielded, g.caller) = (true, true, CallerRule::Terminal)),
        (Differs::Caller, |_, g| g.caller = CallerRule::Shielded),
        (Differs::Tier, |r, g| (r.tier, g.tier) = (Some(TierName::None), TierName::Hardened)),
        (Differs::Tier, |r, g| (r.tier, g.tier) = (Some(TierName::Hardened), TierName::Lockdown)),
        (Differs::Confinement, |r, _| r.confinement.engine = Some(EngineName::Namespaces)),
        (Differs::Confinement, |r, g| {
            r.confinement.engine = Some(EngineName::Private);
            g.confinement.engine = EngineName::Namespaces;
        }),
        (Differs::Confinement, |r, _| r.confinement.weaker = ["L6".parse().unwrap()].into()),
        (Differs::Confinement, |r, g| {
            r.confinement.weaker = ["L5", "L6"].map(|id| id.parse().unwrap()).into();
            g.confinement.weaker = ["L6".parse().unwrap()].into();
        }),
        (Differs::Confinement, |r, g| {
            (r.confinement.reads, g.confinement.reads) = (vec!["/data".into()], vec!["/data/in".into()]);
        }),
        (Differs::Confinement, |r, g| {
            (r.confinement.writes, g.confinement.reads) = (vec!["/data".into()], vec!["/data".into()]);
        }),
        (Differs::Confinement, |r, g| {
            (r.confinement.sockets, g.confinement.writes) = (vec!["/data".into()], vec!["/data".into()]);
        }),
        (Differs::Delivery, |r, _| r.deliver = Delivery::File),
        (Differs::Raw, |r, _| r.raw = true),
        (Differs::Pass, |r, _| r.pass = vec!["HTTPS_PROXY".parse().unwrap()]),
        (Differs::Expired, |_, g| g.expires = Some(NOW)),
        (Differs::Expired, |_, g| g.created = NOW + CLOCK_SLACK + 1),
        (Differs::UsedUp, |_, g| g.uses = Some(0)),
    ];
    for (row, (differs, change)) in table.iter().enumerate() {
        let (mut request, mut grant) = (sample(), grant());
        change(&mut request, &mut grant);
        let near = Decision::Ask(Why::Near { grant: ID, differs: *differs });
        assert_eq!(decide_one(&request, grant), near, "row {row}");
    }
}

#[test]
fn what_a_grant_leaves_open_is_open() {
    type Change = fn(&mut Request, &mut Grant);
    let table: &[Change] = &[
        |r, g| (r.args, g.args) = (vec!["x".into(); 9], ArgsRule::Any),
        |r, g| {
            r.args.push("--more".into());
            g.args = ArgsRule::Prefix(vec!["https://example.org".into()]);
        },
        |_, g| g.args = ArgsRule::Prefix(vec![]),
        |r, g| (r.arbitrary, g.args) = (true, ArgsRule::Exact(r.args.iter().map(OsText::from).collect())),
        |r, g| (r.tier, g.tier) = (Some(TierName::Lockdown), TierName::Hardened),
        |r, _| r.tier = Some(TierName::Lockdown),
        |_, g| g.tier = TierName::Lockdown,
        |_, g| {
            g.confinement = Confinement {
                engine: EngineName::Namespaces,
                weaker: ["L6".parse().unwrap()].into(),
                reads: vec!["/a".into()],
                writes: vec!["/b".into()],
                sockets: vec!["/c".into()],
            };
        },
        |r, g| {
            r.confinement.engine = Some(EngineName::Namespaces);
            r.confinement.weaker = ["L6".parse().unwrap()].into();
            r.confinement.reads = vec!["/a/x".into(), "/b".into()];
            g.confinement = Confinement {
                engine: EngineName::Namespaces,
                weaker: ["L5", "L6"].map(|id| id.parse().unwrap()).into(),
                reads: vec!["/a".into()],
                writes: vec!["/b".into()],
                sockets: vec![],
            };
        },
        |r, g| (r.called, g.called) = ("any".into(), None),
        |r, g| {
            r.secrets[0].name = "aws/key".parse().unwrap();
            r.secrets[0].variable = "AWS_KEY".parse().unwrap();
            g.secrets[0].name = "aws/*".parse().unwrap();
        },
        |r, g| (r.raw, g.raw) = (true, true),
        |_, g| g.raw = true,
        |r, g| g.cwd = Some(r.cwd.clone()),
        |r, g| (r.terminal, g.caller) = (true, CallerRule::Terminal),
        |r, g| (r.shielded, g.caller) = (true, CallerRule::Shielded),
        |_, g| g.expires = None,
        |_, g| g.uses = Some(1),
        |_, g| g.created = NOW + CLOCK_SLACK,
        |r, g| {
            g.pins = vec![g.program.clone()];
            r.pinned = [(g.program.path.clone(), g.program.sha256)].into();
        },
    ];
    for (row, change) in table.iter().enumerate() {
        let (mut request, mut grant) = (sample(), grant());
        change(&mut request, &mut grant);
        assert_eq!(decide_one(&request, grant), Decision::Allow(ID), "row {row}");
    }
}

#[test]
fn changed_bytes_are_named_with_both_digests() {
    let mut request = sample();
    request.program.sha256 = Digest::new([9; 32]);
    let Decision::Ask(Why::Changed { allowed, found, .. }) = decide_one(&request, grant()) else {
        panic!("a changed program was not refused");
    };
    assert_eq!((allowed, found), (Digest::new([1; 32]), Digest::new([9; 32])));

    let mut pinned = grant();
    pinned.pins = vec![FileRule { path: "/p/package.json".into(), sha256: Digest::new([3; 32]) }];
    assert!(matches!(decide_one(&sample(), pinned.clone()), Decision::Ask(Why::PinMissing { .. })));
    let mut request = sample();
    request.pinned = [("/p/package.json".into(), Digest::new([4; 32]))].into();
    assert!(matches!(decide_one(&request, pinned), Decision::Ask(Why::Changed { .. })));
}

#[test]
fn a_grant_for_another_program_does_not_explain_a_refusal() {
    let other = Grant { program: FileRule { path: "/usr/bin/wget".into(), ..grant().program }, ..grant() };
    assert!(matches!(decide_one(&sample(), other), Decision::Ask(Why::NoGrant { .. })));
}

#[test]
fn a_deny_follows_the_bytes_to_another_path() {
    let mut moved = sample();
    moved.program.path = "/tmp/copy".into();
    assert!(matches!(decide_one(&moved, deny()), Decision::Deny(_)));
    let mut changed = sample();
    changed.program.sha256 = Digest::new([9; 32]);
    assert!(matches!(decide_one(&changed, deny()), Decision::Deny(_)));
}

#[test]
fn the_grant_that_ends_first_is_used_first() {
    let forever = Grant { expires: None, ..grant() };
    let grants = [(GrantId(1), forever.clone()), (GrantId(2), grant()), (GrantId(3), forever)];
    assert_eq!(decide(&sample(), &grants, NOW), Decision::Allow(GrantId(2)));
}

/// Requests and grants out of few values, so that they meet often.
fn any_request() -> impl Strategy<Value = Request> {
    let flags = any::<(bool, bool, bool, bool)>();
    (flags, any_confinement(), 0..3usize, 0..2u8, prop::collection::vec(0..2u8, 1..3)).prop_map(
        |((terminal, shielded, raw, arbitrary), (tier, confinement), args, bytes, secrets)| {
            let mut request = sample();
            request.secrets = secrets
                .iter()
                .map(|n| format!("S{n}").parse::<SecretName>().unwrap())
                .map(|name| Wanted { variable: name.variable(), name })
                .collect();
            request.program.sha256 = Digest::new([bytes; 32]);
            request.args = vec!["a".into(); args];
            Request { terminal, shielded, raw, arbitrary, tier, confinement, ..request }
        },
    )
}

fn any_grant() -> impl Strategy<Value = Grant> {
    let args = prop_oneof![
        Just(ArgsRule::Any),
        (0..3usize).prop_map(|n| ArgsRule::Exact(vec!["a".into(); n])),
        (0..3usize).prop_map(|n| ArgsRule::Prefix(vec!["a".into(); n])),
    ];
    let caller = prop_oneof![Just(CallerRule::Any), Just(CallerRule::Terminal), Just(CallerRule::Shielded)];
    let limits = (prop::option::of(NOW - 2..NOW + 3), prop::option::of(0..2u32));
    (
        prop::bool::weighted(0.2),
        args,
        caller,
        limits,
        any_confinement(),
        0..2u8,
        prop::collection::vec(0..2u8, 1..3),
        any::<bool>(),
    )
        .prop_map(|(denies, args, caller, (expires, uses), (tier, wish), bytes, secrets, raw)| Grant {
            effect: if denies { Effect::Deny } else { Effect::Allow },
            args,
            caller,
            expires,
            uses,
            raw,
            tier: tier.unwrap_or(TierName::None),
            confinement: wish.granted(),
            program: FileRule { sha256: Digest::new([bytes; 32]), ..grant().program },
            secrets: secrets
                .iter()
                .map(|n| SecretRule { name: format!("S{n}").parse().unwrap(), variable: None })
                .collect(),
            ..grant()
        })
}

fn any_grants() -> impl Strategy<Value = Vec<(GrantId, Grant)>> {
    prop::collection::vec(any_grant(), 0..6).prop_map(|grants| (1..).map(GrantId).zip(grants).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn a_deny_that_matches_always_wins(request in any_request(), mut grants in any_grants(), at in 0..6usize) {
        let rule = Grant {
            secrets: vec![SecretRule { name: request.secrets[0].name.clone().as_str().parse().unwrap(), variable: None }],
            ..deny()
        };
        grants.insert(at.min(grants.len()), (GrantId(99), Grant { expires: None, ..rule }));
        prop_assert!(matches!(decide(&request, &grants, NOW), Decision::Deny(_)));
    }

    #[test]
    fn removing_an_allow_never_allows_more(request in any_request(), grants in any_grants(), at in 0..6usize) {
        let before = decide(&request, &grants, NOW);
        let mut fewer = grants.clone();
        if at < fewer.len() && fewer[at].1.effect == Effect::Allow {
            fewer.remove(at);
        }
        if !matches!(before, Decision::Allow(_)) {
            prop_assert!(!matches!(decide(&request, &fewer, NOW), Decision::Allow(_)));
        }
    }

    #[test]
    fn time_only_expires(request in any_request(), grants in any_grants(), later in 0..10u64) {
        let allows: Vec<_> = grants.into_iter().filter(|(_, g)| g.effect == Effect::Allow).collect();
        if matches!(decide(&request, &allows, NOW + later), Decision::Allow(_)) {
            prop_assert!(matches!(decide(&request, &allows, NOW), Decision::Allow(_)));
        }
    }

    #[test]
    fn asking_for_less_of_the_sandbox_never_refuses_and_more_never_allows(
        request in any_request(), grants in any_grants(), wish in any_confinement(),
    ) {
        let plain = Request { tier: None, confinement: Default::default(), ..request.clone() };
        let more = Request { tier: wish.0, confinement: wish.1, ..request };
        let by = |id| grants.iter().find(|(other, _)| *other == id).map(|(_, grant)| grant.clone()).unwrap();
        if let Decision::Allow(id) = decide(&more, &grants, NOW) {
            prop_assert!(more.confinement.is_within(&by(id).confinement));
            prop_assert!(more.tier.is_none_or(|tier| tier >= by(id).tier));
            prop_assert!(matches!(decide(&plain, &grants, NOW), Decision::Allow(_)));
        }
    }

    #[test]
    fn what_is_allowed_was_allowed_by_that_grant_alone(request in any_request(), grants in any_grants()) {
        if let Decision::Allow(id) = decide(&request, &grants, NOW) {
            let only: Vec<_> = grants.into_iter().filter(|(other, _)| *other == id).collect();
            prop_assert_eq!(decide(&request, &only, NOW), Decision::Allow(id));
        }
    }
}
