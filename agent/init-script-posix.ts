/**
 * The init script of Linux and macOS, for any POSIX shell. Templates put it into all kinds of places, so it avoids `$$` and
 * `$(NAME)`, which Kubernetes would expand in a container's command. It replaces itself by the agent, so that a container's
 * signals reach it and its exit code ends the container. Source: spec/05 §16.
 */
export const posixScript = ({
  os,
  arch,
  agentSha256,
}: {
  readonly os: string;
  readonly arch: string;
  readonly agentSha256: string;
}): string => `#!/usr/bin/env sh
set -u
umask 077

# A container whose start failed stays for a while, so that somebody can look into it.
stay() {
	code=$?
	trap - EXIT
	[ "$code" -eq 0 ] && exit 0
	[ "\${CODER_AGENT_NO_SLEEP:-}" = 1 ] && exit "$code"
	echo "agent: failed with $code; sleeping for 24 hours (CODER_AGENT_NO_SLEEP=1 prevents that)" >&2
	trap 'exit 143' TERM INT
	sleep 86400 &
	wait
	exit "$code"
}
trap stay EXIT

say() { echo "agent: $*" >&2; }

# The agent is a program for Node.js; 20 is the first version that can run it.
node_found() {
	command -v node >/dev/null 2>&1 || return 1
	major=$(node -p 'parseInt(process.versions.node, 10)' 2>/dev/null) || return 1
	[ "\${major:-0}" -ge 20 ] 2>/dev/null
}

fetch() {
	if command -v curl >/dev/null 2>&1; then
		curl -fsSL --connect-timeout 15 -o "$2" "$1"
	elif command -v wget >/dev/null 2>&1; then
		wget -q -O "$2" "$1"
	elif command -v busybox >/dev/null 2>&1; then
		busybox wget -q -O "$2" "$1"
	else
		say "none of curl, wget and busybox is there to download with"
		exit 127
	fi
}

digest() {
	if command -v sha256sum >/dev/null 2>&1; then
		sha256sum "$1" | cut -d ' ' -f 1
	elif command -v shasum >/dev/null 2>&1; then
		shasum -a 256 "$1" | cut -d ' ' -f 1
	elif command -v openssl >/dev/null 2>&1; then
		openssl dgst -sha256 -r "$1" | cut -d ' ' -f 1
	elif command -v busybox >/dev/null 2>&1; then
		busybox sha256sum "$1" | cut -d ' ' -f 1
	else
		node -e 'process.stdout.write(require("crypto").createHash("sha256").update(require("fs").readFileSync(process.argv[1])).digest("hex"))' "$1"
	fi
}

directory=$(mktemp -d "\${TMPDIR:-/tmp}/coder.XXXXXX" 2>/dev/null || mktemp -d "$HOME/.coder-agent.XXXXXX") || exit 1
retry=\${CODER_AGENT_DOWNLOAD_RETRY:-30}

while :; do
	if node_found; then
		name=agent.mjs
		expected=${agentSha256}
	else
		# Not built by this server: the request tells its log who needs one, and without a digest nothing is run.
		name=agent-${os}-${arch}
		expected=
		say "no Node.js 20 or later on the PATH"
	fi
	file="$directory/$name"
	# By its digest, so that a machine that starts again after an upgrade of the server finds the agent it was made for.
	if fetch "\${ACCESS_URL}bin/$name\${expected:+?sha256=$expected}" "$file"; then
		found=$(digest "$file")
		if [ -n "$expected" ] && [ "$found" = "$expected" ]; then break; fi
		say "$name has another checksum than this script expects: not run"
	else
		say "$name cannot be downloaded from \${ACCESS_URL}"
	fi
	rm -f "$file"
	say "trying again in $retry s"
	sleep "$retry"
done

export CODER_AGENT_AUTH="\${AUTH_TYPE}"
export CODER_AGENT_URL="\${ACCESS_URL}"
exec node --max-semi-space-size=1 "$file"
`;
