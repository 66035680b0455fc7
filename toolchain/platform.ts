/** Names of this machine as Go, Terraform and the release pages use them. */
export interface Platform {
  readonly os: string;
  readonly arch: string;
  /** `linux_amd64`, the directory name of Terraform mirrors. */
  readonly id: string;
  readonly exe: string;
}

export function currentPlatform(os: string = process.platform, arch: string = process.arch): Platform {
  const goOs = os === 'win32' ? 'windows' : os;
  const goArch = { x64: 'amd64', ia32: '386' }[arch] ?? arch;
  return { os: goOs, arch: goArch, id: `${goOs}_${goArch}`, exe: goOs === 'windows' ? '.exe' : '' };
}
