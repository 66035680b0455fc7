/** The init script of Windows, for PowerShell 5 and later. Source: spec/05 §16. */
export const powershellScript = ({
  arch,
  agentSha256,
}: {
  readonly arch: string;
  readonly agentSha256: string;
}): string => `$ErrorActionPreference = "Stop"
$ProgressPreference = "SilentlyContinue"
[Net.ServicePointManager]::SecurityProtocol = [Net.ServicePointManager]::SecurityProtocol -bor [Net.SecurityProtocolType]::Tls12

# The agent is a program for Node.js; 20 is the first version that can run it.
function Test-Node {
    if (-not (Get-Command node -ErrorAction SilentlyContinue)) { return $false }
    $major = & node -p "parseInt(process.versions.node, 10)"
    return [int]$major -ge 20
}

$directory = Join-Path ([IO.Path]::GetTempPath()) ("coder-" + [Guid]::NewGuid().ToString("N"))
New-Item -ItemType Directory -Path $directory | Out-Null
$retry = 30
if ($env:CODER_AGENT_DOWNLOAD_RETRY) { $retry = [int]$env:CODER_AGENT_DOWNLOAD_RETRY }

while ($true) {
    try {
        if (Test-Node) {
            $name = "agent.mjs"
            $expected = "${agentSha256}"
            # By its digest: a machine that starts again after an upgrade of the server finds the agent it was made for.
            $query = "?sha256=$expected"
        } else {
            # Not built by this server: without a digest nothing is run.
            $name = "agent-windows-${arch}"
            $expected = ""
            $query = ""
            Write-Host "agent: no Node.js 20 or later on the PATH"
        }
        $file = Join-Path $directory $name
        Invoke-WebRequest -UseBasicParsing -Uri ("\${ACCESS_URL}bin/" + $name + $query) -OutFile $file
        $found = (Get-FileHash -Algorithm SHA256 -Path $file).Hash.ToLower()
        if ($expected -ne "" -and $found -eq $expected) { break }
        Write-Host "agent: $name has another checksum than this script expects: not run"
    } catch {
        Write-Host "agent: the download failed: $_"
    }
    Write-Host "agent: trying again in $retry s"
    Start-Sleep -Seconds $retry
}

$env:CODER_AGENT_AUTH = "\${AUTH_TYPE}"
$env:CODER_AGENT_URL = "\${ACCESS_URL}"
& node --max-semi-space-size=1 $file
exit $LASTEXITCODE
`;
