terraform {
  required_providers {
    coder = {
      source  = "coder/coder"
      version = "2.20.0"
    }
  }
}

data "coder_workspace" "me" {}

# Which resource a coder_metadata describes (spec 02 §4.9).

locals {
  # Locals are not in the plan's configuration: only the graph knows.
  through_local = terraform_data.local_target.id
}

resource "terraform_data" "a" {
  input = "a"
}

resource "terraform_data" "b" {
  input            = terraform_data.a.id
  triggers_replace = "known while planning"
}

# Names a, reads b, and b depends on a: the reduced graph has only the edge to b.
resource "coder_metadata" "of_a" {
  resource_id = terraform_data.a.id
  daily_cost  = 1
  item {
    key   = "other"
    value = terraform_data.b.triggers_replace
  }
}

resource "terraform_data" "each" {
  for_each = toset(["one", "two"])
  input    = each.key
}

resource "coder_metadata" "each" {
  for_each    = terraform_data.each
  resource_id = each.value.id
  item {
    key   = "name"
    value = each.key
  }
}

resource "terraform_data" "counted" {
  count = 3
  input = count.index
}

# Describes exactly one instance of three.
resource "coder_metadata" "second" {
  resource_id = terraform_data.counted[1].id
  daily_cost  = 7
}

resource "terraform_data" "local_target" {
  input = "l"
}

resource "coder_metadata" "local" {
  resource_id = local.through_local
  icon        = "/icon/local.svg"
}

module "described" {
  source = "./described"
  count  = 2
  target = terraform_data.passed[count.index].id
}

resource "terraform_data" "passed" {
  count = 2
  input = count.index
}
