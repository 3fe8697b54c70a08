//! Runs the attacks: each first against an unprotected program, then in every place.

use std::time::Instant;

use envseal_sandbox::{Engine, Tier};

use crate::attack::{Attack, Miss, NEVER};
use crate::cell::{Cell, Place};
use crate::machine;
use crate::stage::Stage;
use crate::supervise::{Options, warn};

pub const PLACES: [(Tier, Engine); 6] = [
    (Tier::None, Engine::Private),
    (Tier::Hardened, Engine::Private),
    (Tier::Lockdown, Engine::Private),
    (Tier::None, Engine::Namespaces),
    (Tier::Hardened, Engine::Namespaces),
    (Tier::Lockdown, Engine::Namespaces),
];

/// So many attacks may need what the machine does not have.
const HANDFUL: usize = if cfg!(target_arch = "x86_64") { 8 } else { 16 };

/// What one cell of the table says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Open,
    Closed,
    NotGiven,
    Absent,
}

impl Outcome {
    pub fn text(self) -> &'static str {
        match self {
            Outcome::Open => "open",
            Outcome::Closed => "closed",
            Outcome::NotGiven => "not given",
            Outcome::Absent => "not on this machine",
        }
    }
}

pub struct Row {
    pub attack: &'static Attack,
    pub outcomes: [Outcome; PLACES.len()],
}

/// What came of a run.
#[derive(Default)]
pub struct Findings {
    pub rows: Vec<Row>,
    /// Each a line that fails the suite.
    pub failures: Vec<String>,
    /// Why a row or a column says nothing.
    pub reasons: Vec<String>,
}

/// Whether a place is given on this machine, and whether its memory is private there.
#[derive(Clone)]
struct Given {
    why_not: Option<String>,
    private: bool,
}

pub fn run(attacks: &[&'static Attack], stage: &Stage, verbose: bool) -> Findings {
    let mut findings = Findings::default();
    let given = PLACES.map(|place| probe(place, stage));
    for ((tier, engine), given) in PLACES.iter().zip(&given) {
        if let Some(why) = &given.why_not {
            findings.reasons.push(format!("{tier}, {engine}: not given: {why}"));
        }
    }
    for attack in attacks {
        let began = Instant::now();
        let (before, outcomes) =
            (findings.failures.len(), row(attack, stage, &given, &mut findings, verbose));
        let ok = if findings.failures.len() == before { "ok" } else { "FAILED" };
        let cells: Vec<_> = outcomes.iter().map(|outcome| outcome.text()).collect();
        let took = began.elapsed().as_millis();
        warn(&format!("{:<42} {ok:<7} {} ({took} ms)", attack.name, cells.join(", ")));
        findings.rows.push(Row { attack, outcomes });
    }
    let absent = findings.rows.iter().filter(|row| row.outcomes == [Outcome::Absent; PLACES.len()]).count();
    if absent > HANDFUL && findings.failures.is_empty() && machine::restrictions().is_empty() {
        findings.failures.push(format!("{absent} attacks are not on this machine, more than {HANDFUL}"));
    }
    findings
}

fn row(
    attack: &'static Attack,
    stage: &Stage,
    given: &[Given; PLACES.len()],
    findings: &mut Findings,
    verbose: bool,
) -> [Outcome; PLACES.len()] {
    let try_in = |place| match Cell::new(attack, place, stage) {
        Ok(cell) => (attack.script)(&cell),
        Err(error) => Err(Miss::Fault(format!("no room: {error}"))),
    };
    match try_in(Place::Unprotected) {
        Ok(()) => {}
        Err(Miss::Absent(why)) => {
            findings.reasons.push(format!("{}: not on this machine: {why}", attack.name));
            return [Outcome::Absent; PLACES.len()];
        }
        // A machine that is more careful than most proves less.
        Err(Miss::Refused(why)) if !machine::restrictions().is_empty() => {
            let settings = machine::restrictions().join(", ");
            findings.reasons.push(format!("{}: not on this machine: {why} ({settings})", attack.name));
            return [Outcome::Absent; PLACES.len()];
        }
        Err(miss) => {
            findings.failures.push(format!("{}: does not work without protection: {miss}", attack.name));
            return [Outcome::Absent; PLACES.len()];
        }
    }
    let mut outcomes = [Outcome::NotGiven; PLACES.len()];
    for ((outcome, &(tier, engine)), given) in outcomes.iter_mut().zip(&PLACES).zip(given) {
        if given.why_not.is_some() {
            continue;
        }
        let tried = try_in(Place::In(tier, engine));
        if verbose && let Err(miss) = &tried {
            warn(&format!("    {tier}, {engine}: {miss}"));
        }
        *outcome = match &tried {
            Ok(()) => Outcome::Open,
            Err(Miss::Refused(_)) => Outcome::Closed,
            Err(Miss::NotGiven(_)) => Outcome::NotGiven,
            Err(Miss::Absent(_) | Miss::Fault(_)) => Outcome::Absent,
        };
        let expected =
            if attack.closed.expects(tier, engine, given.private) { Outcome::Closed } else { Outcome::Open };
        if *outcome != expected {
            let why = tried.err().map_or_else(|| "it succeeded".to_owned(), |miss| miss.to_string());
            let name = attack.name;
            findings
                .failures
                .push(format!("{name}: {tier}, {engine}: must be {}, but {why}", expected.text()));
        }
    }
    outcomes
}

/// Starts something harmless in a place.
fn probe((tier, engine): (Tier, Engine), stage: &Stage) -> Given {
    const PROBE: Attack = Attack::outside("probe", "nothing", NEVER, |_| Ok(()));
    let ask = || -> Result<Given, Miss> {
        let cell = Cell::new(&PROBE, Place::In(tier, engine), stage).map_err(Miss::from)?;
        let victim = cell.victim(Options::default(), &[])?;
        let private = victim.given.iter().any(|guarantee| guarantee == "L6");
        let namespace = |of: &str| std::fs::read_link(format!("/proc/{of}/ns/user"));
        let ours = namespace("self")?;
        let same = namespace(&victim.pid.to_string()).is_ok_and(|theirs| theirs == ours);
        let why_not = (engine == Engine::Namespaces && same).then(|| {
            "the start took no notice of the engine: the program has no namespace of its own".into()
        });
        Ok(Given { why_not, private })
    };
    ask().unwrap_or_else(|miss| Given { why_not: Some(miss.to_string()), private: false })
}
