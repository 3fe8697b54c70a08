//! What each tier gives, says and refuses.

use std::fs;

use envseal_sandbox::{Engine, Exit, Given, Guarantee, Limits, Spec, StartError, Tier, start};
use tempfile::TempDir;

use crate::support::{TIERS, is_in_a_job, is_wine, not_given, output, probe, said};

#[test]
fn none_makes_no_job_and_the_other_tiers_do() {
    assert_eq!(said(Tier::None, ["job"]), is_in_a_job().to_string());
    assert_eq!(said(Tier::Hardened, ["job"]), "true");
    assert_eq!(said(Tier::Lockdown, ["job"]), "true");
}

#[test]
fn a_program_ends_with_its_own_code_in_every_tier() {
    for tier in TIERS {
        for code in [0_u32, 1, 77, 259, 0x7fff_ffff, 0xc000_0005] {
            let (exit, _) = output(probe(tier, ["exit", &code.to_string()]));
            assert_eq!(exit, Exit::Code(code.cast_signed()), "{tier}");
        }
    }
    assert_eq!(Exit::Code(0xc000_0005_u32.cast_signed()).to_string(), "exit status 0xc0000005");
}

#[test]
fn exactly_what_the_table_says_is_not_given() {
    for tier in TIERS {
        let mut running = start(probe(tier, ["exit"])).expect("a start");
        let missing: Vec<_> =
            running.enforced().missing().into_iter().map(|(guarantee, _)| guarantee).collect();
        assert_eq!(missing, not_given(tier), "{tier}: {:?}", running.enforced());
        let listed: Vec<_> = running.enforced().iter().map(|(guarantee, _)| guarantee).collect();
        assert_eq!(listed, tier.guarantees());
        running.wait().expect("an end");
    }
}

#[test]
fn what_none_does_not_promise_is_listed_with_its_reason() {
    let running = start(probe(Tier::None, ["sleep"])).expect("a start");
    for guarantee in [Guarantee::N1, Guarantee::N2, Guarantee::N3] {
        let found = running.enforced().iter().find(|(name, _)| *name == guarantee);
        assert!(matches!(found, Some((_, Given::No(why))) if why.contains("without a job")));
    }
    assert!(running.enforced().gives(Guarantee::N4) && running.enforced().gives(Guarantee::N6));
}

#[test]
fn a_guarantee_that_is_missing_and_not_waived_stops_the_start_before_anything_runs() {
    let place = TempDir::new().expect("a directory");
    let file = place.path().join("ran");
    let limits = Limits { file: Some(1 << 20), ..Limits::default() };
    for tier in [Tier::None, Tier::Hardened] {
        let name = file.to_str().expect("text");
        let refused = start(probe(tier, ["write", name]).limits(limits)).expect_err("refused");
        let StartError::NotGiven { missing, .. } = &refused else { panic!("{refused}") };
        assert!(missing.iter().any(|(guarantee, _)| *guarantee == Guarantee::L5), "{refused}");
        assert_eq!(refused.shell_status(), 125);
        assert!(!file.exists(), "{tier}: it ran");
        let waived = probe(tier, ["write", name]).limits(limits).allow_weaker([Guarantee::L5]);
        assert_eq!(output(waived).0, Exit::Code(0));
        assert!(fs::remove_file(&file).is_ok(), "{tier}: it did not run");
    }
}

#[test]
fn limits_without_a_job_are_not_given() {
    let limits = Limits { memory: Some(1 << 30), ..Limits::default() };
    let refused = start(probe(Tier::None, ["exit"]).limits(limits)).expect_err("refused");
    assert!(refused.to_string().contains("L5"), "{refused}");
}

#[test]
fn the_namespace_engine_is_refused_by_name() {
    let refused = start(probe(Tier::None, ["exit"]).engine(Engine::Namespaces)).expect_err("refused");
    assert!(matches!(refused, StartError::NoEngine { .. }));
    assert!(refused.to_string().contains("namespaces"), "{refused}");
}

#[test]
fn the_callers_creation_flags_survive() {
    const CREATE_NEW_CONSOLE: u32 = 0x10;
    const BELOW_NORMAL_PRIORITY_CLASS: u32 = 0x4000;
    // Wine takes the priority and does not set it, and makes no console where there is no screen.
    let (lower, own) = if is_wine() { ("0x20", "false") } else { ("0x4000", "true") };
    for tier in TIERS {
        assert_eq!(said(tier, ["priority"]), "0x20");
        assert_eq!(
            output(probe(tier, ["priority"]).creation_flags(BELOW_NORMAL_PRIORITY_CLASS)).1.trim(),
            lower
        );
        let with = output(probe(tier, ["console"]).creation_flags(CREATE_NEW_CONSOLE)).1;
        assert_eq!(with.trim(), own, "{tier}");
    }
    // No stream is the caller's: a program in lockdown has no console.
    assert_eq!(said(Tier::Lockdown, ["console"]), "false");
}

#[test]
fn flags_that_lead_out_of_the_job_or_under_a_debugger_are_refused() {
    for flags in [0x0100_0000, 1, 2, 0x0004_0000] {
        for tier in TIERS {
            let refused = start(probe(tier, ["exit"]).creation_flags(flags)).expect_err("refused");
            assert!(matches!(refused, StartError::CreationFlags { flags: found, .. } if found == flags));
        }
    }
}

#[test]
fn a_program_that_is_to_wait_runs_when_it_is_told_to() {
    const CREATE_SUSPENDED: u32 = 4;
    let mut running =
        start(probe(Tier::Hardened, ["exit", "3"]).creation_flags(CREATE_SUSPENDED)).expect("a start");
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(running.try_wait().expect("asked"), None);
    running.resume().expect("told");
    assert_eq!(running.wait().expect("an end"), Exit::Code(3));
}

/// A crash is an exit code, and no window waits for a click.
#[test]
fn a_crash_is_told_by_its_status() {
    for tier in [Tier::Hardened, Tier::Lockdown] {
        let spec: Spec = probe(tier, ["crash"]);
        assert_eq!(output(spec).0, Exit::Code(0xc000_0005_u32.cast_signed()), "{tier}");
    }
}
