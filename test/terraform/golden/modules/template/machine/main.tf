terraform {
  required_providers {
    coder = {
      source = "coder/coder"
    }
  }
}

resource "coder_agent" "dev" {
  os   = "linux"
  arch = "amd64"
}

resource "terraform_data" "vm" {
  for_each = toset(["a.b[c]"])
  input    = coder_agent.dev.token
}

output "agent_id" {
  value = coder_agent.dev.id
}
