terraform {
  required_providers {
    coder = {
      source  = "coder/coder"
      version = "2.20.0"
    }
  }
}

data "coder_workspace" "me" {}

# Children and agents across modules (spec 02 §4.5).

module "machine" {
  source = "./machine"
  count  = 1
}

locals {
  agent_id = one(module.machine[*].agent_id)
}

module "ide" {
  source   = "./ide"
  for_each = toset(["code", "notebook"])
  agent_id = one(module.machine[*].agent_id)
  slug     = each.key
}

resource "coder_script" "through_local" {
  agent_id     = local.agent_id
  display_name = "Through a local"
  script       = "true"
  cron         = "0 0 22 * * *"
}
