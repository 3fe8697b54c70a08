# Proves on a real Windows what Wine takes and does not enforce. Each line tries one thing in a tier where it
# is closed, and first where it is open: a check that cannot fail proves nothing.
#
#   cargo build -p envseal-sandbox --examples
#   powershell -ExecutionPolicy Bypass -File tests\real_windows.ps1 [-Bin target\debug\examples]
#
# As an ordinary user, in a console without elevation. Ends with 1 when a check failed.

param([string]$Bin = "target\debug\examples")

$ErrorActionPreference = "Stop"
$script:Failed = 0
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

    # Clipboard.
    Closed "the clipboard" (Run $Hardened @("clipboard")) (Run $Lockdown @("clipboard"))

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
    Closed "memory of other processes" (Run $Hardened @("open", "$PID")) (Run $Lockdown @("open", "$PID"))

    # Memory of the program, from outside.
    foreach ($Tier in "none", "lockdown") {
        $Sleeper = Sleeper $Tier
        $Opened = & $Probe open $Sleeper.Pid | Out-String
        $Expected = if ($Tier -eq "none") { "yes*" } else { "no*" }
        Check "memory of a program in $Tier from outside: $Expected" ($Opened -like $Expected) $Opened
        Stop-Process -Id $Sleeper.Supervisor.Id -Force
        Stop-Process -Id $Sleeper.Pid -Force -ErrorAction SilentlyContinue
    }

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
