# Added to the template where its infrastructure is to depend on who owns the workspace: then a claim has to wait for Terraform.
resource "terraform_data" "named" {
  input = data.coder_workspace_owner.me.name
}
