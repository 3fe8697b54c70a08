//! What the tests share: the probe, what Wine does not tell, looking at processes.

use std::fs::File;
use std::io::Read;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use envseal_sandbox::Guarantee::{self, H1, H2, H3, L1, L2, L3, L4, L5, L6, N1, N2, N3, N5};
use envseal_sandbox::{Exit, Image, Spec, Stdio, Tier, start};
use windows_sys::Win32::Foundation::WAIT_OBJECT_0;
use windows_sys::Win32::System::JobObjects::IsProcessInJob;
use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleW, GetProcAddress};
use windows_sys::Win32::System::Threading::{
    GetCurrentProcess, GetProcessHandleCount, OpenProcess, PROCESS_SYNCHRONIZE, WaitForSingleObject,
};
use windows_sys::core::w;

/// Whether this is Wine, which names itself.
pub fn is_wine() -> bool {
    // SAFETY: a library that every process has.
    let ntdll = unsafe { GetModuleHandleW(w!("ntdll.dll")) };
    // SAFETY: the library is loaded, and the name ends.
    unsafe { GetProcAddress(ntdll, c"wine_get_version".as_ptr().cast()) }.is_some()
}

/// What a tier promises on Windows and Wine 8 does not tell. It takes the limits of a job and reports zeros;
/// it lowers no integrity and knows neither mitigation policies, UI limits nor AppContainers; an owner can
/// always change an access list there.
pub fn not_given(tier: Tier) -> Vec<Guarantee> {
    match tier {
        _ if !is_wine() => Vec::new(),
        Tier::None => Vec::new(),
        Tier::Hardened => vec![N1, N2, N3, N5],
        Tier::Lockdown => vec![N1, N2, N3, N5, H1, H2, H3, L1, L2, L3, L4, L5, L6],
    }
}

pub const TIERS: [Tier; 3] = [Tier::None, Tier::Hardened, Tier::Lockdown];

/// An example's binary, which cargo builds beside the tests.
pub fn example(name: &str) -> PathBuf {
    let test = env::current_exe().expect("the test's own path");
    let target = test.parent().and_then(Path::parent).expect("target/PROFILE/deps");
    let path = target.join("examples").join(name).with_extension("exe");
    assert!(path.is_file(), "{} is missing: cargo build --examples", path.display());
    path
}

/// A start of the probe in `tier`, with what Wine does not tell waived.
pub fn probe<const N: usize>(tier: Tier, arguments: [&str; N]) -> Spec {
    let image = Image::open(&example("probe")).expect("the probe");
    let spec = Spec::new(image).args(arguments).tier(tier).allow_weaker(not_given(tier));
    spec.stdin(Stdio::Null).stdout(Stdio::Null).stderr(Stdio::Null)
}

/// How it ends and what it says.
pub fn output(spec: Spec) -> (Exit, String) {
    let mut running = start(spec.stdout(Stdio::Pipe)).expect("a start");
    let mut text = String::new();
    File::from(running.take_stdout().expect("a pipe")).read_to_string(&mut text).expect("text");
    (running.wait().expect("an end"), text)
}

/// What a trial says, on one line.
pub fn said<const N: usize>(tier: Tier, arguments: [&str; N]) -> String {
    output(probe(tier, arguments)).1.trim().to_owned()
}

/// A process to be waited for, by its number.
pub struct Seen(OwnedHandle);

impl Seen {
    pub fn open(pid: u32) -> Option<Seen> {
        // SAFETY: takes numbers and gives a handle or none.
        let process = unsafe { OpenProcess(PROCESS_SYNCHRONIZE, 0, pid) };
        // SAFETY: the call gave a new handle.
        (!process.is_null()).then(|| Seen(unsafe { OwnedHandle::from_raw_handle(process) }))
    }

    /// Whether it has ended after at most so long.
    pub fn ends_within(&self, time: Duration) -> bool {
        let milliseconds = u32::try_from(time.as_millis()).expect("a short time");
        // SAFETY: the handle is open.
        unsafe { WaitForSingleObject(self.0.as_raw_handle(), milliseconds) == WAIT_OBJECT_0 }
    }

    pub fn lives(&self) -> bool {
        !self.ends_within(Duration::ZERO)
    }
}

/// The process whose number a probe writes to `file`.
pub fn written(file: &Path) -> Seen {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(seen) =
            fs::read_to_string(file).ok().and_then(|text| text.parse().ok()).and_then(Seen::open)
        {
            return seen;
        }
        assert!(Instant::now() < until, "no process in {}", file.display());
        thread::sleep(Duration::from_millis(10));
    }
}

/// How many handles this process has.
pub fn handle_count() -> u32 {
    let mut count = 0;
    // SAFETY: gives a constant.
    let this = unsafe { GetCurrentProcess() };
    // SAFETY: this process, and room for one number.
    assert_ne!(unsafe { GetProcessHandleCount(this, &mut count) }, 0);
    count
}

/// Whether this process is itself in a job, as under some supervisors: its children are then too.
pub fn is_in_a_job() -> bool {
    let mut answer = 0;
    // SAFETY: gives a constant.
    let this = unsafe { GetCurrentProcess() };
    // SAFETY: this process, any job, and room for the answer.
    assert_ne!(unsafe { IsProcessInJob(this, std::ptr::null_mut(), &mut answer) }, 0);
    answer != 0
}

/// Numbers that look drawn, the same in each run (xorshift64, Marsaglia 2003).
pub struct Drawn(pub u64);

impl Drawn {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}
