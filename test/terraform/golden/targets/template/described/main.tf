terraform {
  required_providers {
    coder = {
      source = "coder/coder"
    }
  }
}

variable "target" {
  type = string
}

resource "terraform_data" "own" {
  input = "own"
}

resource "coder_metadata" "own" {
  resource_id = terraform_data.own.id
  daily_cost  = 2
}
