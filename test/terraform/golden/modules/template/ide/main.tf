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

resource "coder_app" "ide" {
  agent_id = var.agent_id
  slug     = var.slug
  url      = "http://localhost:1"
  share    = "public"
  open_in  = "tab"
}

module "tools" {
  source   = "../tools"
  agent_id = var.agent_id
  slug     = var.slug
}
