# One parameter of each kind that a form can show.

data "coder_parameter" "greeting" {
  name         = "greeting"
  display_name = "Greeting"
  description  = "First line of the workspace's page."
  type         = "string"
  default      = "Hello"
  mutable      = true
  order        = 1
  validation {
    regex = "^[A-Za-z][A-Za-z0-9 ,.!-]{0,63}$"
    error = "The greeting starts with a letter and has at most 64 letters, digits, spaces and `,.!-`."
  }
}

data "coder_parameter" "log_level" {
  name         = "log_level"
  display_name = "Log level"
  description  = "How much the process writes to its log."
  type         = "string"
  default      = "info"
  mutable      = true
  order        = 2
  option {
    name        = "Info"
    value       = "info"
    description = "Starts, stops and requests"
  }
  option {
    name        = "Debug"
    value       = "debug"
    description = "Also a line every second"
  }
}

data "coder_parameter" "disk_mb" {
  name         = "disk_mb"
  display_name = "Disk"
  description  = "Size of the workspace's disk image in MiB. It can grow, never shrink."
  type         = "number"
  form_type    = "slider"
  default      = 16
  mutable      = true
  order        = 3
  validation {
    min       = 1
    max       = 1024
    monotonic = "increasing"
  }
}

data "coder_parameter" "access_log" {
  name         = "access_log"
  display_name = "Log requests"
  description  = "Write one line per request."
  type         = "bool"
  default      = true
  mutable      = true
  order        = 4
}

data "coder_parameter" "pages" {
  name         = "pages"
  display_name = "Pages"
  description  = "What the workspace's server shows."
  type         = "list(string)"
  form_type    = "multi-select"
  default      = jsonencode(["files"])
  mutable      = true
  order        = 5
  option {
    name  = "Files of the home"
    value = "files"
  }
  option {
    name  = "Settings"
    value = "settings"
  }
  option {
    name  = "Uptime"
    value = "uptime"
  }
}

data "coder_parameter" "home_layout" {
  name         = "home_layout"
  display_name = "Home layout"
  description  = "What a new home contains. Cannot be changed later."
  type         = "string"
  form_type    = "radio"
  default      = "empty"
  mutable      = false
  order        = 6
  option {
    name  = "Empty"
    value = "empty"
  }
  option {
    name  = "Project"
    value = "project"
  }
}

data "coder_parameter" "clear_cache" {
  name         = "clear_cache"
  display_name = "Clear the cache"
  description  = "Empty ~/.cache once, at this start."
  type         = "bool"
  default      = false
  mutable      = true
  ephemeral    = true
  order        = 7
}

data "coder_workspace_preset" "quiet" {
  name        = "Quiet"
  description = "Small disk, no request log."
  default     = true
  parameters = {
    (data.coder_parameter.greeting.name)    = "Hello"
    (data.coder_parameter.log_level.name)   = "info"
    (data.coder_parameter.disk_mb.name)     = "16"
    (data.coder_parameter.access_log.name)  = "false"
    (data.coder_parameter.home_layout.name) = "empty"
  }
}

data "coder_workspace_preset" "ready" {
  name        = "Ready"
  description = "A project home with every page; one is kept running in reserve."
  parameters = {
    (data.coder_parameter.greeting.name)    = "Welcome back"
    (data.coder_parameter.log_level.name)   = "debug"
    (data.coder_parameter.disk_mb.name)     = "64"
    (data.coder_parameter.access_log.name)  = "true"
    (data.coder_parameter.pages.name)       = jsonencode(["files", "settings", "uptime"])
    (data.coder_parameter.home_layout.name) = "project"
  }
  prebuilds {
    instances = var.pool_size
    expiration_policy {
      ttl = 86400
    }
  }
}
