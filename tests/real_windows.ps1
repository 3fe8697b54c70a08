# Proves on a real Windows what Wine takes and does not enforce. Each line tries one thing in a tier where it
# is closed, and first where it is open: a check that cannot fail proves nothing.
#
#   cargo build -p envseal-sandbox --examples
#   cargo build -p envseal
#   powershell -ExecutionPolicy Bypass -File tests\real_windows.ps1 [-Bin target\debug\examples]
#
# As an ordinary user, in a console without elevation. Ends with 1 when a check failed.

param([string]$Bin = "target\debug\examples")

$ErrorActionPreference = "Stop"
$script:Failed = 0
$Envseal = Join-Path (Split-Path $Bin) "envseal.exe"
$Supervise = (Resolve-Path (Join-Path $Bin "supervise.exe")).Path

# A place of its own, whose programs the containers may read: by the access list of this directory alone.
$Place = Join-Path ([IO.Path]::GetTempPath()) ("envseal-" + [Guid]::NewGuid().ToString("N"))
New-Item -ItemType Directory $Place | Out-Null
icacls $Place /grant "*S-1-15-2-1:(OI)(CI)(RX)" | Out-Null
$Probe = Join-Path $Place "probe.exe"
Copy-Item (Join-Path $Bin "probe.exe") $Probe

function Check([string]$What, [bool]$Holds, [string]$Said = "") {
    if ($Holds) { Write-Host "ok    $What" }
    else { Write-Host "FAIL  $What   $Said"; $script:Failed++ }
}

# What a program says in a tier, and its exit code. $Options come before the program.
function Run([string[]]$Options, [string[]]$Trial) {
    $Before = $ErrorActionPreference
    $ErrorActionPreference = "Continue"
    $Said = & $Supervise --quiet @Options $Probe @Trial 2>&1 | Out-String
    $Code = $LASTEXITCODE
    $ErrorActionPreference = $Before
    [pscustomobject]@{ Said = $Said.Trim(); Code = $Code }
}

# The line of one guarantee, as it was read back.
function Guarantee([string]$Tier, [string]$Id) {
    $Before = $ErrorActionPreference
    $ErrorActionPreference = "Continue"
    $Lines = & $Supervise --tier $Tier $Probe exit 2>&1 | Out-String
    $ErrorActionPreference = $Before
    ($Lines -split "`r?`n" | Where-Object { $_ -like "*$Id *" } | Select-Object -First 1)
}

# A program that only waits, in a tier: its number.
function Sleeper([string]$Tier) {
    $File = Join-Path $Place ("pid-" + $Tier)
    $Process = Start-Process -PassThru -WindowStyle Hidden $Supervise `
        -ArgumentList @("--quiet", "--tier", $Tier, "--report", "`"$File`"", "`"$Probe`"", "sleep")
    for ($Turn = 0; $Turn -lt 200 -and -not (Test-Path $File); $Turn++) { Start-Sleep -Milliseconds 50 }
    [pscustomobject]@{ Supervisor = $Process; Pid = [int](Get-Content $File) }
}

# A probe that waits, and what it said first.
function Waiting([string]$Trial) {
    $Start = [Diagnostics.ProcessStartInfo]::new($Probe, $Trial)
    $Start.UseShellExecute = $false
    $Start.RedirectStandardOutput = $true
    $Process = [Diagnostics.Process]::Start($Start)
    [pscustomobject]@{ Process = $Process; Said = $Process.StandardOutput.ReadLine() }
}

# Whether another process of the user gets to a process, any of its threads and its token, one right at a time.
function Reaches([string]$What, [int]$Id, [string]$Expected) {
    $Rights = @(
        @("open", "10", "PROCESS_VM_READ"), @("open", "28", "PROCESS_VM_WRITE"), @("open", "2", "PROCESS_CREATE_THREAD"),
        @("open", "40", "PROCESS_DUP_HANDLE"), @("open", "40000", "WRITE_DAC"), @("open", "80000", "WRITE_OWNER"),
        @("open-threads", "8", "THREAD_GET_CONTEXT"), @("open-threads", "10", "THREAD_SET_CONTEXT"),
        @("open-threads", "80", "THREAD_SET_THREAD_TOKEN"), @("open-threads", "40000", "WRITE_DAC on a thread"),
        @("open-token", "2", "TOKEN_DUPLICATE"), @("open-token", "80", "TOKEN_ADJUST_DEFAULT"),
        @("open-token", "40000", "WRITE_DAC on the token")
    )
    foreach ($Right in $Rights) {
        $Opened = & $Probe $Right[0] $Id $Right[1] | Out-String
        Check "$($Right[2]) over ${What}: $Expected" ($Opened -like $Expected) $Opened
    }
}

function Closed([string]$What, $Open, $Shut) {
    Check "$What (open in hardened)" ($Open.Said -like "yes*") $Open.Said
    Check "$What (closed in lockdown)" ($Shut.Said -like "no*") $Shut.Said
}

$Hardened = @("--tier", "hardened")
$Lockdown = @("--tier", "lockdown")

try {
    # What is read back. Nothing is waived: a tier that is not given does not start.
    foreach ($Id in "N1", "N2", "N3", "N4", "N5", "N6") {
        $Line = Guarantee "hardened" $Id
        Check "hardened gives $Id" ($Line -match "Yes|Guarded") $Line
    }
    foreach ($Id in "N1", "N2", "N3", "N4", "N5", "N6", "H1", "H2", "H3", "L1", "L2", "L3", "L4", "L5", "L6") {
        $Line = Guarantee "lockdown" $Id
        Check "lockdown gives $Id" ($Line -match "Yes|Guarded") $Line
    }
    foreach ($Tier in "none", "hardened", "lockdown") {
        $Ran = Run @("--tier", $Tier) @("exit", "77")
        Check "$Tier ends with the program's own code" ($Ran.Code -eq 77) "$($Ran.Code) $($Ran.Said)"
    }

    # One process.
    Closed "a second process" (Run $Hardened @("spawn")) (Run $Lockdown @("spawn"))

    # Out of the job.
    $Away = Run $Hardened @("breakaway", "job")
    Check "breakaway is refused" ($Away.Said -like "no*os error 5*") $Away.Said

    # Memory and time.
    $Free = Run $Hardened @("memory", "512")
    $Bound = Run ($Hardened + @("--memory", "268435456")) @("memory", "512")
    Check "memory is there without a limit" ($Free.Said -like "yes*") $Free.Said
    Check "memory ends at the limit" ($Bound.Said -notlike "yes*") $Bound.Said
    $Watch = [Diagnostics.Stopwatch]::StartNew()
    $Spun = Run ($Hardened + @("--cpu", "2")) @("spin")
    Check "time ends at the limit" ($Spun.Code -ne 0 -and $Watch.Elapsed.TotalSeconds -lt 60) "$($Spun.Code)"

    # The same in lockdown, of the whole job: there it has one process, so that the job's own limits are asked of the
    # kernel from inside. 0x200 is JOB_MEMORY, 0x4 JOB_TIME.
    $Bound = Run ($Lockdown + @("--memory", "268435456")) @("memory", "512")
    Check "memory ends at the limit in lockdown" ($Bound.Said -notlike "yes*") $Bound.Said
    $Watch.Restart()
    $Spun = Run ($Lockdown + @("--cpu", "2")) @("spin")
    Check "time ends at the limit in lockdown" ($Spun.Code -ne 0 -and $Watch.Elapsed.TotalSeconds -lt 60) "$($Spun.Code)"
    $Free = Run $Hardened @("limits")
    Check "hardened bounds no job" ($Free.Said -like "* job-memory=0 * job-time=0 *") $Free.Said
    $Bound = Run ($Lockdown + @("--memory", "268435456", "--cpu", "2")) @("limits")
    $Flags = if ($Bound.Said -match "flags=([0-9a-f]+)") { [Convert]::ToInt32($Matches[1], 16) } else { 0 }
    Check "lockdown bounds the job" (($Flags -band 0x204) -eq 0x204) $Bound.Said
    Check "lockdown bounds it by what was named" `
        ($Bound.Said -like "* job-memory=268435456 * job-time=20000000 * processes=1") $Bound.Said

    # Clipboard, written and read.
    Closed "the clipboard" (Run $Hardened @("clipboard")) (Run $Lockdown @("clipboard"))
    Set-Clipboard "envseal"
    Closed "what is on the clipboard" (Run $Hardened @("paste")) (Run $Lockdown @("paste"))

    # The other UI limits: windows of others, global atoms, system parameters, display settings, desktops. The last
    # one, to end the session, is only read back (L4): where it did not hold, trying would end the tester's.
    Closed "windows of others" (Run $Hardened @("window")) (Run $Lockdown @("window"))
    $Atom = "envseal-" + [Guid]::NewGuid().ToString("N")
    $Added = Run $Hardened @("add-atom", $Atom)
    Check "a global atom is added" ($Added.Said -like "yes*") $Added.Said
    Closed "global atoms" (Run $Hardened @("find-atom", $Atom)) (Run $Lockdown @("find-atom", $Atom))
    Closed "system parameters" (Run $Hardened @("parameters")) (Run $Lockdown @("parameters"))
    Closed "display settings" (Run $Hardened @("display")) (Run $Lockdown @("display"))
    Closed "a new desktop" (Run $Hardened @("desktop")) (Run $Lockdown @("desktop"))

    # Mitigation policies (H3). Extension points and images of other machines as the kernel has them, since an input
    # method, a hook and a share are not every tester's: 7 is remote, low and System32 first.
    $Free = Run $Hardened @("policies")
    Check "hardened has no policies" ($Free.Said -eq "yes extension=0 images=0 fonts=0 children=0") $Free.Said
    $Bound = Run $Lockdown @("policies")
    $Bits = @{}
    foreach ($Pair in ($Bound.Said -split " ")) {
        if ($Pair -match "^(\w+)=([0-9a-f]+)$") { $Bits[$Matches[1]] = [Convert]::ToInt32($Matches[2], 16) }
    }
    foreach ($Policy in @(@("extension", 1), @("images", 7), @("fonts", 1), @("children", 1))) {
        $Has = ([int]$Bits[$Policy[0]] -band $Policy[1]) -eq $Policy[1]
        Check "lockdown has the policy of $($Policy[0])" $Has $Bound.Said
    }
    $System = Join-Path $env:SystemRoot "System32"
    $Low = Join-Path $Place "low.dll"
    Copy-Item (Join-Path $System "version.dll") $Low
    icacls $Low /setintegritylevel L | Out-Null
    Closed "a library of low integrity" (Run $Hardened @("library", $Low)) (Run $Lockdown @("library", $Low))
    Copy-Item (Join-Path $System "version.dll") (Join-Path $Place "version.dll")
    $Beside = Run $Hardened @("library", "version.dll")
    $IsBeside = $Beside.Said -like "yes *" -and $Beside.Said -notlike "yes $System*"
    Check "a library beside the program goes first in hardened" $IsBeside $Beside.Said
    $First = Run $Lockdown @("library", "version.dll")
    Check "the system's goes first in lockdown" ($First.Said -like "yes $System*") $First.Said
    $Font = Join-Path $Place "font.ttf"
    Copy-Item (Join-Path $env:SystemRoot "Fonts\arial.ttf") $Font
    Closed "a font of one's own" (Run $Hardened @("font", $Font)) (Run $Lockdown @("font", $Font))

    # Files of the user, for reading and writing.
    $Own = Join-Path $env:USERPROFILE ("envseal-test-" + [Guid]::NewGuid().ToString("N"))
    "x" | Set-Content $Own
    Closed "reading a file of the user" (Run $Hardened @("read", $Own)) (Run $Lockdown @("read", $Own))
    Closed "writing a file of the user" (Run $Hardened @("write", $Own)) (Run $Lockdown @("write", $Own))
    Remove-Item $Own

    # A path that is named and closed to the container stops the start and says how it is opened.
    $Data = Join-Path $Place "data"
    New-Item -ItemType Directory $Data | Out-Null
    icacls $Data /inheritance:d /remove:g "*S-1-15-2-1" | Out-Null
    $Named = Run ($Lockdown + @("--write", $Data)) @("write", (Join-Path $Data "x"))
    Check "a closed path stops the start" ($Named.Code -ne 0 -and $Named.Said -like "*S-1-15-2-*") $Named.Said
    if ($Named.Said -match "(S-1-15-2-[-0-9]+)") {
        icacls $Data /grant "*$($Matches[1]):(OI)(CI)(M)" | Out-Null
        $Named = Run ($Lockdown + @("--write", $Data)) @("write", (Join-Path $Data "x"))
        Check "a path that the owner opened is written to" ($Named.Said -like "yes*") $Named.Said
    }

    # Hidden paths are asked about with the program's token.
    $Seen = Run ($Lockdown + @("--hide", $Place)) @("exit")
    Check "a hidden path that is open to containers stops the start" ($Seen.Said -match "H2") $Seen.Said
    $Seen = Run ($Lockdown + @("--hide", $env:APPDATA)) @("exit")
    Check "a hidden path that is closed does not" ($Seen.Code -eq 0) $Seen.Said

    # Network.
    $Listener = [Net.Sockets.TcpListener]::new([Net.IPAddress]::Loopback, 0)
    $Listener.Start()
    $Address = "127.0.0.1:$($Listener.LocalEndpoint.Port)"
    Closed "the network" (Run $Hardened @("connect", $Address)) (Run $Lockdown @("connect", $Address))
    $Listener.Stop()

    # Other processes, from inside.
    Closed "memory of other processes" (Run $Hardened @("open", "$PID", "10")) (Run $Lockdown @("open", "$PID", "10"))

    # Memory of the program, from outside, its threads and its token; and WRITE_DAC (40000), which would open all of
    # them: the owner of an object has it unless an entry for the owner's rights (OW) takes it away.
    foreach ($Tier in "none", "lockdown") {
        $Sleeper = Sleeper $Tier
        $Expected = if ($Tier -eq "none") { "yes*" } else { "no*" }
        Reaches "a program in $Tier" $Sleeper.Pid $Expected
        Stop-Process -Id $Sleeper.Supervisor.Id -Force
        Stop-Process -Id $Sleeper.Pid -Force -ErrorAction SilentlyContinue
    }

    # A process that closes itself, as envseal does first thing, and one that does not. Each has a second thread, which
    # the closed one made after it closed itself: not one of them opens.
    foreach ($Trial in "open-itself", "closed") {
        $Waiting = Waiting $Trial
        Check "$Trial says so" ($Waiting.Said -eq "yes") $Waiting.Said
        $Expected = if ($Trial -eq "open-itself") { "yes*" } else { "no*" }
        Reaches "a process that is $Trial" $Waiting.Process.Id $Expected
        if ($Trial -eq "closed") {
            $Left = & $Probe open $Waiting.Process.Id 101001 | Out-String
            Check "it can still be seen, waited for and ended" ($Left -like "yes*") $Left
        }
        Stop-Process -Id $Waiting.Process.Id -Force
    }

    # envseal itself, while it waits for the passphrase that it is told to read from standard input.
    if (Test-Path $Envseal) {
        $Start = [Diagnostics.ProcessStartInfo]::new($Envseal, "--passphrase-fd 0 init")
        $Start.UseShellExecute = $false
        $Start.RedirectStandardInput = $true
        $Start.EnvironmentVariables["ENVSEAL_HOME"] = Join-Path $Place "vault"
        $Process = [Diagnostics.Process]::Start($Start)
        Start-Sleep -Seconds 2
        Check "envseal waits" (-not $Process.HasExited)
        if (-not $Process.HasExited) {
            Reaches "envseal" $Process.Id "no*"
            $Process.Kill()
        }
    }
    else { Check "envseal is built" $false $Envseal }

    # The tree ends with its supervisor.
    $Sleeper = Sleeper "hardened"
    Stop-Process -Id $Sleeper.Supervisor.Id -Force
    Start-Sleep -Seconds 2
    Check "a program ends with its supervisor" ($null -eq (Get-Process -Id $Sleeper.Pid -ErrorAction SilentlyContinue))

    # A crash shows no window and comes back as its status.
    $Watch.Restart()
    $Crashed = Run $Hardened @("crash")
    Check "a crash is a status" ($Crashed.Code -eq -1073741819 -and $Watch.Elapsed.TotalSeconds -lt 20) "$($Crashed.Code)"

    # A pseudoconsole carries the program's streams.
    $Shown = Run @("--tier", "hardened", "--pty") @("print", "on-screen")
    Check "streams lead to the program's own terminal" ($Shown.Said -like "*on-screen*") $Shown.Said
    $Shown = Run @("--tier", "lockdown", "--pty") @("print", "on-screen")
    Check "in lockdown too" ($Shown.Said -like "*on-screen*") $Shown.Said
}
finally {
    Remove-Item -Recurse -Force $Place -ErrorAction SilentlyContinue
}

if (Get-Command cargo -ErrorAction SilentlyContinue) {
    & cargo test -p envseal-sandbox --lib --test windows
    Check "the sandbox's tests" ($LASTEXITCODE -eq 0)
    # Among them that SQLite's own files inherit the vault's access list, and that its junctions are refused.
    & cargo test -p envseal-redact -p envseal-vault -p envseal-engine -p envseal
    Check "the other tests" ($LASTEXITCODE -eq 0)
}

if ($script:Failed -gt 0) { Write-Host "$script:Failed failed"; exit 1 }
Write-Host "all hold"
