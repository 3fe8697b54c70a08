//! Runs the attacks: each first against an unprotected program, then in every place.

use std::path::Path;
use std::time::Instant;

use envseal_sandbox::Tier;
use envseal_sandbox::launch::{DIRECTORY, LOADER, Launcher, RANGE};

use super::attack::{Attack, Miss, NEVER, Way};
use super::cell::{Cell, Place};
use super::machine;
use super::stage::Stage;
use super::supervise::{Options, warn};

pub const PLACES: [(Tier, Way); 9] = [
    (Tier::None, Way::Private),
    (Tier::Hardened, Way::Private),
    (Tier::Lockdown, Way::Private),
    (Tier::None, Way::Group),
    (Tier::Hardened, Way::Group),
    (Tier::Lockdown, Way::Group),
    (Tier::None, Way::Namespaces),
    (Tier::Hardened, Way::Namespaces),
    (Tier::Lockdown, Way::Namespaces),
];

/// How often what has to succeed is tried.
const CHANCES: usize = 10;

/// So many attacks may need what the machine does not have.
const HANDFUL: usize = if cfg!(target_arch = "x86_64") { 8 } else { 16 };

/// What one cell of the table says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Open,
    Closed,
    NotGiven,
    NotTried,
    Absent,
}

impl Outcome {
    pub fn text(self) -> &'static str {
        match self {
            Outcome::Open => "open",
            Outcome::Closed => "closed",
            Outcome::NotGiven => "not given",
            Outcome::NotTried => "not tried",
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

/// What the cells of a place say that cannot be tried, and why; `None` where it can.
type WhyNot = Option<(Outcome, String)>;

pub fn run(attacks: &[&'static Attack], stage: &Stage, verbose: bool) -> Findings {
    let mut findings = Findings::default();
    let given = PLACES.map(|place| probe(place, stage));
    for ((tier, way), given) in PLACES.iter().zip(&given) {
        let Some((outcome, why)) = given else { continue };
        let line = format!("{tier}, {way}: {}: {why}", outcome.text());
        // Root has installed the launcher for this run.
        let must = *way == Way::Group && stage.helper.is_some();
        if must { findings.failures.push(line) } else { findings.reasons.push(line) }
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
    given: &[WhyNot; PLACES.len()],
    findings: &mut Findings,
    verbose: bool,
) -> [Outcome; PLACES.len()] {
    let try_in = |place| match Cell::new(attack, place, stage) {
        Ok(cell) => (attack.script)(&cell),
        Err(error) => Err(Miss::Fault(format!("no room: {error}"))),
    };
    // A race may be lost many times on a busy machine; what is not possible fails each time.
    let must_succeed_in = |place| {
        let tries = std::iter::repeat_with(|| try_in(place)).take(CHANCES);
        let mut last = Err(Miss::Fault("not tried".into()));
        for tried in tries {
            last = tried;
            if !matches!(last, Err(Miss::Refused(_))) {
                break;
            }
        }
        last
    };
    match must_succeed_in(Place::Unprotected) {
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
    let loader = Path::new(DIRECTORY).join(LOADER).exists();
    let mut outcomes = [Outcome::NotGiven; PLACES.len()];
    for ((outcome, &(tier, way)), given) in outcomes.iter_mut().zip(&PLACES).zip(given) {
        if let Some((instead, _)) = given {
            *outcome = *instead;
            continue;
        }
        let expected = if attack.closed.expects(tier, way, loader) { Outcome::Closed } else { Outcome::Open };
        let place = Place::In(tier, way);
        let tried = if expected == Outcome::Open { must_succeed_in(place) } else { try_in(place) };
        if verbose && let Err(miss) = &tried {
            warn(&format!("    {tier}, {way}: {miss}"));
        }
        *outcome = match &tried {
            Ok(()) => Outcome::Open,
            Err(Miss::Refused(_)) => Outcome::Closed,
            Err(Miss::NotGiven(_)) => Outcome::NotGiven,
            Err(Miss::Absent(_) | Miss::Fault(_)) => Outcome::Absent,
        };
        if *outcome != expected {
            let why = tried.err().map_or_else(|| "it succeeded".to_owned(), |miss| miss.to_string());
            let name = attack.name;
            findings.failures.push(format!("{name}: {tier}, {way}: must be {}, but {why}", expected.text()));
        }
    }
    outcomes
}

/// Starts something harmless in a place.
fn probe((tier, way): (Tier, Way), stage: &Stage) -> WhyNot {
    const PROBE: Attack = Attack::outside("probe", "nothing", NEVER, |_| Ok(()));
    if way == Way::Group && matches!(Launcher::installed(), Ok(None)) {
        let why = "no launcher is installed, and only root can install one: run the suite as root";
        return Some((Outcome::NotTried, why.into()));
    }
    let ask = || -> Result<Option<&str>, Miss> {
        let cell = Cell::new(&PROBE, Place::In(tier, way), stage).map_err(Miss::from)?;
        let victim = cell.victim(Options::default(), &[])?;
        let private = victim.given.iter().any(|guarantee| guarantee == "L6");
        Ok(match way {
            Way::Private => None,
            Way::Group => (!private || !has_group(victim.pid)?)
                .then_some("the program has no group of its own, or can be read all the same"),
            Way::Namespaces => (!has_namespace(victim.pid)?)
                .then_some("the start took no notice of the engine: the program has no namespace of its own"),
        })
    };
    let why_not = ask().map_or_else(|miss| Some(miss.to_string()), |why| why.map(str::to_owned));
    why_not.map(|why| (Outcome::NotGiven, why))
}

/// Whether all its groups but the supplementary ones are of the launcher's.
fn has_group(pid: u32) -> std::io::Result<bool> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let groups = status.lines().find_map(|line| line.strip_prefix("Gid:")).unwrap_or_default();
    let is = |group: &str| group.parse().is_ok_and(|group| RANGE.contains(&group));
    Ok(groups.split_whitespace().count() == 4 && groups.split_whitespace().all(is))
}

/// Whether its user namespace is another one than the harness's; also where it cannot be seen.
fn has_namespace(pid: u32) -> std::io::Result<bool> {
    let namespace = |of: &str| std::fs::read_link(format!("/proc/{of}/ns/user"));
    let ours = namespace("self")?;
    Ok(!namespace(&pid.to_string()).is_ok_and(|theirs| theirs == ours))
}
