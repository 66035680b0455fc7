terraform {
  required_providers {
    coder = {
      source  = "coder/coder"
      version = "2.20.0"
    }
  }
}

# Merge strategies end to end (spec 02 §4.8); the table itself is a unit test.

resource "coder_agent" "dev" {
  os   = "linux"
  arch = "amd64"
}

resource "terraform_data" "vm" {
  input = coder_agent.dev.token
}

resource "coder_env" "b_path" {
  agent_id       = coder_agent.dev.id
  name           = "PATH"
  value          = "/b"
  merge_strategy = "append"
}

resource "coder_env" "a_path" {
  agent_id = coder_agent.dev.id
  name     = "PATH"
  value    = "/a"
}

resource "coder_env" "c_path" {
  for_each       = toset(["x", "y"])
  agent_id       = coder_agent.dev.id
  name           = "PATH"
  value          = "/${each.key}"
  merge_strategy = "prepend"
}

resource "coder_env" "empty" {
  agent_id = coder_agent.dev.id
  name     = "EMPTY"
}

resource "coder_env" "alone" {
  agent_id       = coder_agent.dev.id
  name           = "ALONE"
  value          = "1"
  merge_strategy = "error"
}
