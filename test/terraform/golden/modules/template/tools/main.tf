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

variable "slug" {
  type = string
}

resource "coder_env" "tool" {
  agent_id = var.agent_id
  name     = "TOOL_${upper(var.slug)}"
  value    = "1"
}
