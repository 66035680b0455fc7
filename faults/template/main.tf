# Two chains of four objects each, made one after the other within a chain. Disks and networks stay through a stop, machines
# and services exist while the workspace is started. The chains are out of step, so that Terraform writes its state while an
# object of the other chain is half made.
terraform {
  required_providers {
    coder = { source = "coder/coder" }
  }
}

variable "ledger" {
  type        = string
  description = "File that every provisioner appends to: what really happened."
}

data "coder_workspace" "me" {}

data "coder_parameter" "label" {
  name    = "label"
  type    = "string"
  default = "plain"
  mutable = true
}

locals {
  left = {
    ledger    = var.ledger
    seconds   = "0.4"
    workspace = data.coder_workspace.me.id
  }
  right = merge(local.left, { seconds = "0.5" })
}

module "left_disk" {
  source = "./object"
  object = merge(local.left, { address = "module.left_disk.terraform_data.object" })
}

module "left_network" {
  source     = "./object"
  depends_on = [module.left_disk]
  object     = merge(local.left, { address = "module.left_network.terraform_data.object" })
}

module "left_machine" {
  source     = "./object"
  count      = data.coder_workspace.me.start_count
  depends_on = [module.left_network]
  object     = merge(local.left, { address = "module.left_machine[0].terraform_data.object" })
}

module "left_service" {
  source     = "./object"
  count      = data.coder_workspace.me.start_count
  depends_on = [module.left_machine]
  object     = merge(local.left, { address = "module.left_service[0].terraform_data.object" })
}

module "right_disk" {
  source = "./object"
  object = merge(local.right, { address = "module.right_disk.terraform_data.object" })
}

module "right_network" {
  source     = "./object"
  depends_on = [module.right_disk]
  object     = merge(local.right, { address = "module.right_network.terraform_data.object" })
}

module "right_machine" {
  source     = "./object"
  count      = data.coder_workspace.me.start_count
  depends_on = [module.right_network]
  object     = merge(local.right, { address = "module.right_machine[0].terraform_data.object" })
}

module "right_service" {
  source     = "./object"
  count      = data.coder_workspace.me.start_count
  depends_on = [module.right_machine]
  object     = merge(local.right, { address = "module.right_service[0].terraform_data.object" })
}
