terraform {
  required_providers {
    coder = {
      source  = "coder/coder"
      version = "2.20.0"
    }
  }
}

# Dev containers, their sub-agents and an AI task (spec 02 §2.8, §4.7).

resource "coder_agent" "dev" {
  os   = "linux"
  arch = "amd64"
  env = {
    ONLY = "parent"
  }
}

resource "terraform_data" "vm" {
  input = coder_agent.dev.token
}

resource "coder_devcontainer" "My_Repo" {
  for_each         = toset(["one", "two"])
  agent_id         = coder_agent.dev.id
  workspace_folder = "/work/${each.key}"
  config_path      = "/work/${each.key}/.devcontainer/devcontainer.json"
}

resource "coder_devcontainer" "plain" {
  agent_id         = coder_agent.dev.id
  workspace_folder = "/work/plain"
}

resource "coder_app" "repo" {
  for_each = coder_devcontainer.My_Repo
  agent_id = each.value.subagent_id
  slug     = "repo-${each.key}"
  command  = "ls"
}

resource "coder_env" "repo" {
  agent_id = coder_devcontainer.My_Repo["two"].subagent_id
  name     = "REPO"
  value    = "two"
}

resource "coder_script" "repo" {
  agent_id           = coder_devcontainer.My_Repo["one"].subagent_id
  display_name       = "Prepare"
  script             = "make"
  run_on_start       = true
  start_blocks_login = true
}

resource "coder_app" "chat" {
  agent_id = coder_agent.dev.id
  slug     = "chat"
  url      = "http://localhost:3284"
}

resource "coder_ai_task" "chat" {
  app_id = coder_app.chat.id
}
