terraform {
  required_providers {
    coder = {
      source  = "coder/coder"
      version = "2.20.0"
    }
  }
}

data "coder_workspace" "me" {}

# Which resource an agent runs on (spec 02 §4.4).

# far depends on near: near is the host.
resource "coder_agent" "chain" {
  os   = "linux"
  arch = "amd64"
}

resource "terraform_data" "near" {
  input = coder_agent.chain.token
}

resource "terraform_data" "far" {
  input = [coder_agent.chain.id, terraform_data.near.id]
}

# Two at equal distance: the alphabetically first.
resource "coder_agent" "tie" {
  os   = "linux"
  arch = "amd64"
}

resource "terraform_data" "zebra" {
  input = coder_agent.tie.token
}

resource "terraform_data" "apple" {
  input = coder_agent.tie.token
}

# Two instances of one label: two rows, one agent row.
resource "coder_agent" "pair" {
  os              = "windows"
  arch            = "amd64"
  shutdown_script = "echo bye"
  startup_script_behavior = "blocking"
  startup_script  = "echo hi"
}

resource "terraform_data" "pair" {
  count = 2
  input = coder_agent.pair.init_script
}

# Nothing uses it.
resource "coder_agent" "lonely" {
  os   = "linux"
  arch = "amd64"
}

resource "coder_app" "lonely" {
  agent_id = coder_agent.lonely.id
  slug     = "lonely"
  command  = "true"
}

resource "coder_agent" "outside" {
  os            = "darwin"
  arch          = "arm64"
  auth          = "token"
  api_key_scope = "no_user_data"
}

resource "coder_external_agent" "outside" {
  agent_id = coder_agent.outside.id
}

# Instance identity: only agents whose auth is not a token.
resource "coder_agent" "cloud" {
  os   = "linux"
  arch = "amd64"
  auth = "google-instance-identity"
}

resource "terraform_data" "cloud" {
  input = coder_agent.cloud.init_script
}

resource "coder_agent_instance" "cloud" {
  agent_id    = coder_agent.cloud.id
  instance_id = "i-cloud"
}

resource "coder_agent_instance" "chain" {
  agent_id    = coder_agent.chain.id
  instance_id = "i-chain"
}
