/** How the template's infrastructure depends on who owns the workspace. */
export type OwnerDependence = 'none' | 'updated' | 'replaced';

const named: Readonly<Record<OwnerDependence, string>> = {
  none: '',
  updated: 'resource "terraform_data" "named" {\n  input = data.coder_workspace_owner.me.name\n}\n',
  replaced:
    'resource "terraform_data" "named" {\n  triggers_replace = [data.coder_workspace_owner.me.name]\n  input = data.coder_workspace.me.id\n}\n',
};

/** A template with a pool: one agent, whose startup script writes down for whom it runs, and a machine that has its token. */
export const pooledTemplate = (options: {
  instances: number;
  dependence?: OwnerDependence;
}): Record<string, string> => ({
  'main.tf': `
terraform {
  required_providers {
    coder = { source = "coder/coder" }
  }
}
data "coder_workspace" "me" {}
data "coder_workspace_owner" "me" {}
data "coder_workspace_preset" "pool" {
  name = "pool"
  prebuilds {
    instances = ${options.instances}
  }
}
resource "coder_agent" "main" {
  os   = "linux"
  arch = "amd64"
}
resource "coder_env" "author" {
  agent_id = coder_agent.main.id
  name     = "AUTHOR"
  value    = data.coder_workspace_owner.me.name
}
resource "coder_script" "start" {
  agent_id     = coder_agent.main.id
  display_name = "Start"
  run_on_start = true
  script       = "echo \\"$CODER_WORKSPACE_OWNER_NAME $AUTHOR\\" >> \\"$HOME/owners\\""
}
resource "terraform_data" "machine" {
  count            = data.coder_workspace.me.start_count
  triggers_replace = sha256(coder_agent.main.token)
  input            = data.coder_workspace.me.id
}
${named[options.dependence ?? 'none']}`,
});
