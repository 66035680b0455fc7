terraform {
  required_providers {
    coder = {
      source = "coder/coder"
    }
  }
}

variable "agent_id" {
  type = string
}

resource "coder_app" "inner" {
  agent_id = var.agent_id
  slug     = "inner"
  url      = "http://localhost:7000"
}

resource "coder_env" "path" {
  agent_id       = var.agent_id
  name           = "PATH"
  value          = "/inner/bin"
  merge_strategy = "prepend"
}
