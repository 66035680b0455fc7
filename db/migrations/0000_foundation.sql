CREATE TYPE "public"."agent_key_scope_enum" AS ENUM('all', 'no_user_data');--> statement-breakpoint
CREATE TYPE "public"."workspace_agent_lifecycle_state" AS ENUM('created', 'starting', 'start_timeout', 'start_error', 'ready', 'shutting_down', 'shutdown_timeout', 'shutdown_error', 'off');--> statement-breakpoint
CREATE TYPE "public"."workspace_agent_monitor_state" AS ENUM('OK', 'NOK');--> statement-breakpoint
CREATE TYPE "public"."workspace_agent_subsystem" AS ENUM('envbuilder', 'envbox', 'exectrace');--> statement-breakpoint
CREATE TYPE "public"."app_sharing_level" AS ENUM('owner', 'authenticated', 'organization', 'public');--> statement-breakpoint
CREATE TYPE "public"."audit_action" AS ENUM('create', 'write', 'delete', 'start', 'stop', 'login', 'logout', 'register', 'request_password_reset', 'connect', 'disconnect', 'open', 'close');--> statement-breakpoint
CREATE TYPE "public"."automatic_updates" AS ENUM('always', 'never');--> statement-breakpoint
CREATE TYPE "public"."build_reason" AS ENUM('initiator', 'autostart', 'autostop', 'dormancy', 'failedstop', 'autodelete', 'dashboard', 'cli', 'ssh_connection', 'vscode_connection', 'jetbrains_connection', 'task_auto_pause', 'task_manual_pause', 'task_resume');--> statement-breakpoint
CREATE TYPE "public"."cors_behavior" AS ENUM('simple', 'passthru');--> statement-breakpoint
CREATE TYPE "public"."display_app" AS ENUM('vscode', 'vscode_insiders', 'web_terminal', 'ssh_helper', 'port_forwarding_helper');--> statement-breakpoint
CREATE TYPE "public"."group_source" AS ENUM('user', 'oidc');--> statement-breakpoint
CREATE TYPE "public"."log_level" AS ENUM('trace', 'debug', 'info', 'warn', 'error');--> statement-breakpoint
CREATE TYPE "public"."log_source" AS ENUM('provisioner_daemon', 'provisioner');--> statement-breakpoint
CREATE TYPE "public"."login_type" AS ENUM('password', 'github', 'oidc', 'token', 'none');--> statement-breakpoint
CREATE TYPE "public"."parameter_form_type" AS ENUM('', 'error', 'radio', 'dropdown', 'input', 'textarea', 'slider', 'checkbox', 'switch', 'tag-select', 'multi-select');--> statement-breakpoint
CREATE TYPE "public"."prebuild_stage" AS ENUM('none', 'create', 'claim');--> statement-breakpoint
CREATE TYPE "public"."prebuild_status" AS ENUM('normal', 'hard_limited', 'validation_failed');--> statement-breakpoint
CREATE TYPE "public"."provisioner_job_status" AS ENUM('pending', 'running', 'succeeded', 'canceling', 'canceled', 'failed', 'unknown');--> statement-breakpoint
CREATE TYPE "public"."provisioner_job_timing_stage" AS ENUM('init', 'plan', 'graph', 'apply');--> statement-breakpoint
CREATE TYPE "public"."provisioner_job_type" AS ENUM('template_version_import', 'workspace_build', 'template_version_dry_run');--> statement-breakpoint
CREATE TYPE "public"."provisioner_storage_method" AS ENUM('file');--> statement-breakpoint
CREATE TYPE "public"."provisioner_type" AS ENUM('terraform', 'echo');--> statement-breakpoint
CREATE TYPE "public"."shareable_workspace_owners" AS ENUM('none', 'everyone', 'service_accounts');--> statement-breakpoint
CREATE TYPE "public"."user_status" AS ENUM('active', 'suspended', 'dormant');--> statement-breakpoint
CREATE TYPE "public"."workspace_app_health" AS ENUM('disabled', 'initializing', 'healthy', 'unhealthy');--> statement-breakpoint
CREATE TYPE "public"."workspace_app_open_in" AS ENUM('tab', 'window', 'slim-window');--> statement-breakpoint
CREATE TYPE "public"."workspace_transition" AS ENUM('start', 'stop', 'delete');--> statement-breakpoint
CREATE TABLE "audit_logs" (
	"id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"time" timestamp (6) with time zone NOT NULL,
	"user_id" uuid,
	"actor" text DEFAULT '' NOT NULL,
	"organization_id" uuid NOT NULL,
	"ip" "inet",
	"user_agent" varchar(256) DEFAULT '' NOT NULL,
	"resource_type" text NOT NULL,
	"resource_id" uuid NOT NULL,
	"resource_target" text NOT NULL,
	"resource_icon" text DEFAULT '' NOT NULL,
	"action" "audit_action" NOT NULL,
	"diff" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"status_code" integer NOT NULL,
	"additional_fields" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"request_id" uuid NOT NULL
);
--> statement-breakpoint
CREATE TABLE "files" (
	"id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"hash" varchar(64) NOT NULL,
	"created_by" uuid NOT NULL,
	"mimetype" varchar(64) NOT NULL,
	"data" "bytea" NOT NULL,
	"created_at" timestamp (6) with time zone NOT NULL,
	CONSTRAINT "files_size" CHECK (octet_length(data) <= 104857600)
);
--> statement-breakpoint
CREATE TABLE "provisioner_daemons" (
	"id" uuid PRIMARY KEY NOT NULL,
	"created_at" timestamp (6) with time zone NOT NULL,
	"name" varchar(64) NOT NULL,
	"provisioners" "provisioner_type"[] NOT NULL,
	"replica_id" uuid,
	"tags" jsonb NOT NULL,
	"last_seen_at" timestamp (6) with time zone NOT NULL,
	"version" text NOT NULL,
	"api_version" text DEFAULT '1.0' NOT NULL,
	"organization_id" uuid NOT NULL,
	"key_id" uuid,
	"task_queues" text[] DEFAULT '{}'::text[] NOT NULL
);
--> statement-breakpoint
CREATE TABLE "provisioner_job_logs" (
	"id" bigserial PRIMARY KEY NOT NULL,
	"job_id" uuid NOT NULL,
	"created_at" timestamp (6) with time zone NOT NULL,
	"source" "log_source" NOT NULL,
	"level" "log_level" NOT NULL,
	"stage" varchar(128) NOT NULL,
	"output" varchar(1024) NOT NULL
);
--> statement-breakpoint
CREATE TABLE "provisioner_job_timings" (
	"job_id" uuid NOT NULL,
	"started_at" timestamp (6) with time zone NOT NULL,
	"ended_at" timestamp (6) with time zone NOT NULL,
	"stage" "provisioner_job_timing_stage" NOT NULL,
	"source" text NOT NULL,
	"action" text NOT NULL,
	"resource" text NOT NULL,
	CONSTRAINT "provisioner_job_timings_order" CHECK (ended_at >= started_at),
	CONSTRAINT "provisioner_job_timings_real" CHECK (started_at > '1970-01-02'::timestamptz)
);
--> statement-breakpoint
CREATE TABLE "provisioner_jobs" (
	"id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"created_at" timestamp (6) with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp (6) with time zone DEFAULT now() NOT NULL,
	"organization_id" uuid NOT NULL,
	"initiator_id" uuid NOT NULL,
	"provisioner" "provisioner_type" NOT NULL,
	"storage_method" "provisioner_storage_method" DEFAULT 'file' NOT NULL,
	"type" "provisioner_job_type" NOT NULL,
	"input" jsonb NOT NULL,
	"file_id" uuid NOT NULL,
	"tags" jsonb DEFAULT '{"scope":"organization","owner":""}'::jsonb NOT NULL,
	"started_at" timestamp (6) with time zone,
	"canceled_at" timestamp (6) with time zone,
	"completed_at" timestamp (6) with time zone,
	"error" text,
	"error_code" text,
	"worker_id" uuid,
	"job_status" "provisioner_job_status" GENERATED ALWAYS AS (case
          when completed_at is not null then case
            when error <> '' then 'failed'::provisioner_job_status
            when canceled_at is not null then 'canceled'::provisioner_job_status
            else 'succeeded'::provisioner_job_status end
          else case
            when error <> '' then 'failed'::provisioner_job_status
            when canceled_at is not null then 'canceling'::provisioner_job_status
            when started_at is null then 'pending'::provisioner_job_status
            else 'running'::provisioner_job_status end
        end) STORED NOT NULL,
	"logs_length" integer DEFAULT 0 NOT NULL,
	"logs_overflowed" boolean DEFAULT false NOT NULL,
	"trace_metadata" jsonb,
	"workflow_id" text NOT NULL,
	"workflow_started_at" timestamp (6) with time zone,
	"priority" smallint NOT NULL,
	"attempt" integer DEFAULT 0 NOT NULL,
	"log_offset" bigint DEFAULT 0 NOT NULL,
	"host_id" text,
	"lease_until" timestamp (6) with time zone,
	CONSTRAINT "provisioner_jobs_logs_length" CHECK (logs_length <= 1048576),
	CONSTRAINT "provisioner_jobs_error_not_empty" CHECK (error is null or error <> '')
);
--> statement-breakpoint
CREATE TABLE "template_version_parameters" (
	"template_version_id" uuid NOT NULL,
	"name" text NOT NULL,
	"display_name" text DEFAULT '' NOT NULL,
	"description" text DEFAULT '' NOT NULL,
	"type" text NOT NULL,
	"form_type" "parameter_form_type" DEFAULT '' NOT NULL,
	"mutable" boolean NOT NULL,
	"default_value" text DEFAULT '' NOT NULL,
	"icon" text DEFAULT '' NOT NULL,
	"options" jsonb DEFAULT '[]'::jsonb NOT NULL,
	"validation_regex" text DEFAULT '' NOT NULL,
	"validation_min" integer,
	"validation_max" integer,
	"validation_error" text DEFAULT '' NOT NULL,
	"validation_monotonic" text DEFAULT '' NOT NULL,
	"required" boolean DEFAULT true NOT NULL,
	"display_order" integer DEFAULT 0 NOT NULL,
	"ephemeral" boolean DEFAULT false NOT NULL,
	CONSTRAINT "template_version_parameters_type" CHECK (type in ('string', 'number', 'bool', 'list(string)')),
	CONSTRAINT "template_version_parameters_monotonic" CHECK (validation_monotonic in ('increasing', 'decreasing', ''))
);
--> statement-breakpoint
CREATE TABLE "template_version_preset_parameters" (
	"id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"template_version_preset_id" uuid NOT NULL,
	"name" text NOT NULL,
	"value" text NOT NULL
);
--> statement-breakpoint
CREATE TABLE "template_version_preset_prebuild_schedules" (
	"id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"preset_id" uuid NOT NULL,
	"position" integer NOT NULL,
	"cron_expression" text NOT NULL,
	"desired_instances" integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE "template_version_presets" (
	"id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"template_version_id" uuid NOT NULL,
	"name" text NOT NULL,
	"description" varchar(128) DEFAULT '' NOT NULL,
	"icon" varchar(256) DEFAULT '' NOT NULL,
	"created_at" timestamp (6) with time zone NOT NULL,
	"is_default" boolean DEFAULT false NOT NULL,
	"desired_instances" integer,
	"invalidate_after_secs" integer,
	"prebuild_status" "prebuild_status" DEFAULT 'normal' NOT NULL,
	"prebuild_status_detail" text DEFAULT '' NOT NULL,
	"scheduling_timezone" text DEFAULT '' NOT NULL,
	"last_invalidated_at" timestamp (6) with time zone,
	"failure_reset_at" timestamp (6) with time zone
);
--> statement-breakpoint
CREATE TABLE "template_version_terraform_values" (
	"template_version_id" uuid PRIMARY KEY NOT NULL,
	"updated_at" timestamp (6) with time zone NOT NULL,
	"cached_plan" jsonb NOT NULL,
	"cached_module_files" uuid,
	"provisionerd_version" text DEFAULT '' NOT NULL,
	"template_references" jsonb NOT NULL,
	"lock_file" text DEFAULT '' NOT NULL
);
--> statement-breakpoint
CREATE TABLE "template_version_variables" (
	"template_version_id" uuid NOT NULL,
	"name" text NOT NULL,
	"description" text DEFAULT '' NOT NULL,
	"type" text NOT NULL,
	"value" text NOT NULL,
	"default_value" text DEFAULT '' NOT NULL,
	"required" boolean NOT NULL,
	"sensitive" boolean NOT NULL,
	"value_key_id" text DEFAULT '' NOT NULL
);
--> statement-breakpoint
CREATE TABLE "template_version_workspace_tags" (
	"template_version_id" uuid NOT NULL,
	"key" text NOT NULL,
	"value" text NOT NULL
);
--> statement-breakpoint
CREATE TABLE "template_versions" (
	"id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"created_at" timestamp (6) with time zone NOT NULL,
	"updated_at" timestamp (6) with time zone NOT NULL,
	"template_id" uuid,
	"organization_id" uuid NOT NULL,
	"name" varchar(64) NOT NULL,
	"message" varchar(1048576) DEFAULT '' NOT NULL,
	"readme" varchar(1048576) DEFAULT '' NOT NULL,
	"job_id" uuid NOT NULL,
	"created_by" uuid NOT NULL,
	"external_auth_providers" jsonb DEFAULT '[]'::jsonb NOT NULL,
	"archived" boolean DEFAULT false NOT NULL,
	"source_example_id" text,
	"has_ai_task" boolean,
	"has_external_agent" boolean
);
--> statement-breakpoint
CREATE TABLE "templates" (
	"id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"created_at" timestamp (6) with time zone NOT NULL,
	"updated_at" timestamp (6) with time zone NOT NULL,
	"organization_id" uuid NOT NULL,
	"name" varchar(64) NOT NULL,
	"display_name" varchar(64) DEFAULT '' NOT NULL,
	"description" varchar(128) DEFAULT '' NOT NULL,
	"icon" varchar(256) DEFAULT '' NOT NULL,
	"provisioner" "provisioner_type" NOT NULL,
	"active_version_id" uuid NOT NULL,
	"created_by" uuid NOT NULL,
	"deleted" boolean DEFAULT false NOT NULL,
	"deprecated" text DEFAULT '' NOT NULL,
	"default_ttl_ms" bigint DEFAULT 604800000 NOT NULL,
	"activity_bump_ms" bigint DEFAULT 3600000 NOT NULL,
	"allow_user_autostart" boolean DEFAULT true NOT NULL,
	"allow_user_autostop" boolean DEFAULT true NOT NULL,
	"allow_user_cancel_workspace_jobs" boolean DEFAULT true NOT NULL,
	"autostop_requirement_days_of_week" smallint DEFAULT 0 NOT NULL,
	"autostop_requirement_weeks" smallint DEFAULT 1 NOT NULL,
	"autostart_block_days_of_week" smallint DEFAULT 0 NOT NULL,
	"failure_ttl_ms" bigint DEFAULT 0 NOT NULL,
	"time_til_autostop_notify_ms" bigint DEFAULT 0 NOT NULL,
	"time_til_dormant_ms" bigint DEFAULT 0 NOT NULL,
	"time_til_dormant_autodelete_ms" bigint DEFAULT 0 NOT NULL,
	"require_active_version" boolean DEFAULT false NOT NULL,
	"max_port_sharing_level" "app_sharing_level" DEFAULT 'owner' NOT NULL,
	"use_classic_parameter_flow" boolean DEFAULT false NOT NULL,
	"cors_behavior" "cors_behavior" DEFAULT 'simple' NOT NULL,
	"disable_module_cache" boolean DEFAULT false NOT NULL,
	"user_acl" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"group_acl" jsonb DEFAULT '{}'::jsonb NOT NULL,
	CONSTRAINT "templates_autostop_days" CHECK (autostop_requirement_days_of_week between 0 and 127),
	CONSTRAINT "templates_autostart_days" CHECK (autostart_block_days_of_week between 0 and 127),
	CONSTRAINT "templates_autostop_weeks" CHECK (autostop_requirement_weeks between 0 and 16)
);
--> statement-breakpoint
CREATE TABLE "workspace_modules" (
	"id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"job_id" uuid NOT NULL,
	"transition" "workspace_transition" NOT NULL,
	"source" text NOT NULL,
	"version" text NOT NULL,
	"key" text NOT NULL,
	"created_at" timestamp (6) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "api_keys" (
	"id" varchar(10) PRIMARY KEY NOT NULL,
	"hashed_secret" "bytea" NOT NULL,
	"user_id" uuid NOT NULL,
	"last_used" timestamp (6) with time zone NOT NULL,
	"expires_at" timestamp (6) with time zone NOT NULL,
	"lifetime_seconds" bigint DEFAULT 86400 NOT NULL,
	"login_type" "login_type" NOT NULL,
	"ip_address" "inet" DEFAULT '0.0.0.0' NOT NULL,
	"token_name" text DEFAULT '' NOT NULL,
	"scopes" text[] NOT NULL,
	"allow_list" text[] NOT NULL,
	"created_at" timestamp (6) with time zone NOT NULL,
	"updated_at" timestamp (6) with time zone NOT NULL,
	CONSTRAINT "api_keys_scopes_not_empty" CHECK (cardinality(scopes) >= 1),
	CONSTRAINT "api_keys_allow_list_not_empty" CHECK (cardinality(allow_list) >= 1)
);
--> statement-breakpoint
CREATE TABLE "gitsshkeys" (
	"user_id" uuid PRIMARY KEY NOT NULL,
	"private_key" text NOT NULL,
	"public_key" text NOT NULL,
	"created_at" timestamp (6) with time zone NOT NULL,
	"updated_at" timestamp (6) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "group_members" (
	"user_id" uuid NOT NULL,
	"group_id" uuid NOT NULL,
	CONSTRAINT "group_members_user_id_group_id_pk" PRIMARY KEY("user_id","group_id")
);
--> statement-breakpoint
CREATE TABLE "groups" (
	"id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"name" text NOT NULL,
	"organization_id" uuid NOT NULL,
	"display_name" text DEFAULT '' NOT NULL,
	"avatar_url" text DEFAULT '' NOT NULL,
	"quota_allowance" integer DEFAULT 0 NOT NULL,
	"source" "group_source" DEFAULT 'user' NOT NULL
);
--> statement-breakpoint
CREATE TABLE "idempotency_keys" (
	"user_id" uuid NOT NULL,
	"key" varchar(128) NOT NULL,
	"route" text NOT NULL,
	"request_hash" text NOT NULL,
	"resource_id" uuid NOT NULL,
	"status_code" smallint NOT NULL,
	"created_at" timestamp (6) with time zone NOT NULL,
	CONSTRAINT "idempotency_keys_user_id_key_pk" PRIMARY KEY("user_id","key")
);
--> statement-breakpoint
CREATE TABLE "login_failures" (
	"key" text PRIMARY KEY NOT NULL,
	"failures" integer NOT NULL,
	"last_failure_at" timestamp (6) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "organization_members" (
	"organization_id" uuid NOT NULL,
	"user_id" uuid NOT NULL,
	"roles" text[] DEFAULT '{}'::text[] NOT NULL,
	"created_at" timestamp (6) with time zone NOT NULL,
	"updated_at" timestamp (6) with time zone NOT NULL,
	CONSTRAINT "organization_members_organization_id_user_id_pk" PRIMARY KEY("organization_id","user_id")
);
--> statement-breakpoint
CREATE TABLE "organizations" (
	"id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"name" text NOT NULL,
	"display_name" text NOT NULL,
	"description" text DEFAULT '' NOT NULL,
	"icon" text DEFAULT '' NOT NULL,
	"is_default" boolean DEFAULT false NOT NULL,
	"deleted" boolean DEFAULT false NOT NULL,
	"shareable_workspace_owners" "shareable_workspace_owners" DEFAULT 'everyone' NOT NULL,
	"default_org_member_roles" text[] DEFAULT '{organization-workspace-access}'::text[] NOT NULL,
	"created_at" timestamp (6) with time zone NOT NULL,
	"updated_at" timestamp (6) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "site_configs" (
	"key" varchar(256) PRIMARY KEY NOT NULL,
	"value" text NOT NULL
);
--> statement-breakpoint
CREATE TABLE "user_configs" (
	"user_id" uuid NOT NULL,
	"key" varchar(256) NOT NULL,
	"value" text NOT NULL,
	CONSTRAINT "user_configs_user_id_key_pk" PRIMARY KEY("user_id","key")
);
--> statement-breakpoint
CREATE TABLE "user_deleted" (
	"id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"user_id" uuid NOT NULL,
	"deleted_at" timestamp (6) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "user_status_changes" (
	"id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"user_id" uuid NOT NULL,
	"new_status" "user_status" NOT NULL,
	"changed_at" timestamp (6) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "users" (
	"id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"email" text NOT NULL,
	"username" text NOT NULL,
	"name" text DEFAULT '' NOT NULL,
	"hashed_password" text DEFAULT '' NOT NULL,
	"status" "user_status" DEFAULT 'dormant' NOT NULL,
	"rbac_roles" text[] DEFAULT '{}'::text[] NOT NULL,
	"login_type" "login_type" DEFAULT 'password' NOT NULL,
	"avatar_url" text DEFAULT '' NOT NULL,
	"deleted" boolean DEFAULT false NOT NULL,
	"last_seen_at" timestamp (6) with time zone,
	"quiet_hours_schedule" text DEFAULT '' NOT NULL,
	"theme_preference" text DEFAULT '' NOT NULL,
	"is_system" boolean DEFAULT false NOT NULL,
	"is_service_account" boolean DEFAULT false NOT NULL,
	"created_at" timestamp (6) with time zone NOT NULL,
	"updated_at" timestamp (6) with time zone NOT NULL,
	CONSTRAINT "users_username_not_empty" CHECK (length(username) >= 1),
	CONSTRAINT "users_email_empty_only_for_service_accounts" CHECK ((email = '') = is_service_account)
);
--> statement-breakpoint
CREATE TABLE "workspace_agent_connections" (
	"agent_id" uuid PRIMARY KEY NOT NULL,
	"first_connected_at" timestamp (6) with time zone,
	"last_connected_at" timestamp (6) with time zone,
	"disconnected_at" timestamp (6) with time zone,
	"replica_id" uuid
);
--> statement-breakpoint
CREATE TABLE "workspace_agent_devcontainers" (
	"id" uuid PRIMARY KEY NOT NULL,
	"workspace_agent_id" uuid NOT NULL,
	"created_at" timestamp (6) with time zone NOT NULL,
	"workspace_folder" text NOT NULL,
	"config_path" text NOT NULL,
	"name" text NOT NULL,
	"subagent_id" uuid
);
--> statement-breakpoint
CREATE TABLE "workspace_agent_log_sources" (
	"workspace_agent_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"created_at" timestamp (6) with time zone NOT NULL,
	"display_name" varchar(127) NOT NULL,
	"icon" text DEFAULT '' NOT NULL,
	CONSTRAINT "workspace_agent_log_sources_workspace_agent_id_id_pk" PRIMARY KEY("workspace_agent_id","id")
);
--> statement-breakpoint
CREATE TABLE "workspace_agent_logs" (
	"id" bigserial PRIMARY KEY NOT NULL,
	"agent_id" uuid NOT NULL,
	"created_at" timestamp (6) with time zone NOT NULL,
	"level" "log_level" DEFAULT 'info' NOT NULL,
	"output" varchar(1024) NOT NULL,
	"log_source_id" uuid NOT NULL
);
--> statement-breakpoint
CREATE TABLE "workspace_agent_memory_resource_monitors" (
	"agent_id" uuid PRIMARY KEY NOT NULL,
	"enabled" boolean NOT NULL,
	"threshold" smallint NOT NULL,
	"state" "workspace_agent_monitor_state" DEFAULT 'OK' NOT NULL,
	"debounced_until" timestamp (6) with time zone,
	"created_at" timestamp (6) with time zone NOT NULL,
	"updated_at" timestamp (6) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "workspace_agent_metadata" (
	"workspace_agent_id" uuid NOT NULL,
	"key" varchar(127) NOT NULL,
	"display_name" varchar(127) NOT NULL,
	"script" text NOT NULL,
	"value" varchar(65536) DEFAULT '' NOT NULL,
	"error" varchar(65536) DEFAULT '' NOT NULL,
	"timeout" integer NOT NULL,
	"interval" integer NOT NULL,
	"collected_at" timestamp (6) with time zone,
	"display_order" integer DEFAULT 0 NOT NULL,
	CONSTRAINT "workspace_agent_metadata_workspace_agent_id_key_pk" PRIMARY KEY("workspace_agent_id","key")
);
--> statement-breakpoint
CREATE TABLE "workspace_agent_scripts" (
	"id" uuid PRIMARY KEY NOT NULL,
	"workspace_agent_id" uuid NOT NULL,
	"log_source_id" uuid NOT NULL,
	"log_path" text NOT NULL,
	"created_at" timestamp (6) with time zone NOT NULL,
	"script" text NOT NULL,
	"cron" text NOT NULL,
	"start_blocks_login" boolean NOT NULL,
	"run_on_start" boolean NOT NULL,
	"run_on_stop" boolean NOT NULL,
	"timeout_seconds" integer NOT NULL,
	"display_name" text NOT NULL
);
--> statement-breakpoint
CREATE TABLE "workspace_agent_volume_resource_monitors" (
	"agent_id" uuid NOT NULL,
	"path" text NOT NULL,
	"enabled" boolean NOT NULL,
	"threshold" smallint NOT NULL,
	"state" "workspace_agent_monitor_state" DEFAULT 'OK' NOT NULL,
	"debounced_until" timestamp (6) with time zone,
	"created_at" timestamp (6) with time zone NOT NULL,
	"updated_at" timestamp (6) with time zone NOT NULL,
	CONSTRAINT "workspace_agent_volume_resource_monitors_agent_id_path_pk" PRIMARY KEY("agent_id","path")
);
--> statement-breakpoint
CREATE TABLE "workspace_agents" (
	"id" uuid PRIMARY KEY NOT NULL,
	"created_at" timestamp (6) with time zone NOT NULL,
	"updated_at" timestamp (6) with time zone NOT NULL,
	"resource_id" uuid NOT NULL,
	"name" varchar(64) NOT NULL,
	"auth_token_hash" "bytea" NOT NULL,
	"auth_token_enc" "bytea" NOT NULL,
	"auth_token_enc_key_id" text DEFAULT '' NOT NULL,
	"auth_instance_id" varchar,
	"architecture" varchar(64) NOT NULL,
	"operating_system" varchar(64) NOT NULL,
	"environment_variables" jsonb,
	"directory" varchar(4096) DEFAULT '' NOT NULL,
	"expanded_directory" varchar(4096) DEFAULT '' NOT NULL,
	"version" text DEFAULT '' NOT NULL,
	"api_version" text DEFAULT '' NOT NULL,
	"connection_timeout_seconds" integer DEFAULT 120 NOT NULL,
	"troubleshooting_url" text DEFAULT '' NOT NULL,
	"motd_file" text DEFAULT '' NOT NULL,
	"lifecycle_state" "workspace_agent_lifecycle_state" DEFAULT 'created' NOT NULL,
	"started_at" timestamp (6) with time zone,
	"ready_at" timestamp (6) with time zone,
	"subsystems" "workspace_agent_subsystem"[] DEFAULT '{}'::workspace_agent_subsystem[] NOT NULL,
	"display_apps" "display_app"[] NOT NULL,
	"display_order" integer DEFAULT 0 NOT NULL,
	"logs_length" integer DEFAULT 0 NOT NULL,
	"logs_overflowed" boolean DEFAULT false NOT NULL,
	"parent_id" uuid,
	"api_key_scope" "agent_key_scope_enum" DEFAULT 'all' NOT NULL,
	"deleted" boolean DEFAULT false NOT NULL
);
--> statement-breakpoint
CREATE TABLE "workspace_apps" (
	"id" uuid PRIMARY KEY NOT NULL,
	"created_at" timestamp (6) with time zone NOT NULL,
	"agent_id" uuid NOT NULL,
	"slug" text NOT NULL,
	"display_name" varchar(64) NOT NULL,
	"icon" varchar(256) DEFAULT '' NOT NULL,
	"command" text,
	"url" text,
	"healthcheck_url" text DEFAULT '' NOT NULL,
	"healthcheck_interval" integer DEFAULT 0 NOT NULL,
	"healthcheck_threshold" integer DEFAULT 0 NOT NULL,
	"health" "workspace_app_health" DEFAULT 'disabled' NOT NULL,
	"subdomain" boolean DEFAULT false NOT NULL,
	"sharing_level" "app_sharing_level" DEFAULT 'owner' NOT NULL,
	"external" boolean DEFAULT false NOT NULL,
	"display_order" integer DEFAULT 0 NOT NULL,
	"display_group" text,
	"hidden" boolean DEFAULT false NOT NULL,
	"open_in" "workspace_app_open_in" DEFAULT 'slim-window' NOT NULL,
	"tooltip" varchar(2048) DEFAULT '' NOT NULL
);
--> statement-breakpoint
CREATE TABLE "workspace_resource_metadata" (
	"id" bigserial PRIMARY KEY NOT NULL,
	"workspace_resource_id" uuid NOT NULL,
	"key" varchar(1024) NOT NULL,
	"value" varchar(65536),
	"sensitive" boolean NOT NULL
);
--> statement-breakpoint
CREATE TABLE "workspace_resources" (
	"id" uuid PRIMARY KEY NOT NULL,
	"created_at" timestamp (6) with time zone NOT NULL,
	"job_id" uuid NOT NULL,
	"transition" "workspace_transition" NOT NULL,
	"type" varchar(192) NOT NULL,
	"name" varchar(64) NOT NULL,
	"hide" boolean DEFAULT false NOT NULL,
	"icon" varchar(256) DEFAULT '' NOT NULL,
	"instance_type" varchar(256),
	"daily_cost" integer DEFAULT 0 NOT NULL,
	"module_path" text
);
--> statement-breakpoint
CREATE TABLE "workspace_build_parameters" (
	"workspace_build_id" uuid NOT NULL,
	"name" text NOT NULL,
	"value" text NOT NULL,
	CONSTRAINT "workspace_build_parameters_workspace_build_id_name_pk" PRIMARY KEY("workspace_build_id","name")
);
--> statement-breakpoint
CREATE TABLE "workspace_build_states" (
	"workspace_build_id" uuid PRIMARY KEY NOT NULL,
	"state" "bytea" NOT NULL,
	"state_key_id" text DEFAULT '' NOT NULL,
	"encoding" text DEFAULT 'raw' NOT NULL,
	"serial" bigint NOT NULL,
	"lineage" text NOT NULL,
	"updated_at" timestamp (6) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "workspace_builds" (
	"id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"created_at" timestamp (6) with time zone NOT NULL,
	"updated_at" timestamp (6) with time zone NOT NULL,
	"workspace_id" uuid NOT NULL,
	"build_number" integer NOT NULL,
	"template_version_id" uuid NOT NULL,
	"transition" "workspace_transition" NOT NULL,
	"reason" "build_reason" DEFAULT 'initiator' NOT NULL,
	"initiator_id" uuid NOT NULL,
	"job_id" uuid NOT NULL,
	"deadline" timestamp (6) with time zone,
	"max_deadline" timestamp (6) with time zone,
	"daily_cost" integer DEFAULT 0 NOT NULL,
	"template_version_preset_id" uuid,
	"has_ai_task" boolean,
	"has_external_agent" boolean,
	"is_latest" boolean DEFAULT true NOT NULL,
	"active" boolean DEFAULT true NOT NULL,
	"possible_orphans" jsonb DEFAULT '[]'::jsonb NOT NULL,
	"ai_task_app_id" uuid,
	"notified_autostop_deadline" timestamp (6) with time zone,
	"prebuild_stage" "prebuild_stage" DEFAULT 'none' NOT NULL,
	"resource_replacements" jsonb,
	CONSTRAINT "workspace_builds_deadline_below_max_deadline" CHECK (max_deadline is null or (deadline is not null and deadline <= max_deadline))
);
--> statement-breakpoint
CREATE TABLE "workspaces" (
	"id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"created_at" timestamp (6) with time zone NOT NULL,
	"updated_at" timestamp (6) with time zone NOT NULL,
	"owner_id" uuid NOT NULL,
	"organization_id" uuid NOT NULL,
	"template_id" uuid NOT NULL,
	"name" varchar(64) NOT NULL,
	"deleted" boolean DEFAULT false NOT NULL,
	"autostart_schedule" text,
	"ttl_ms" bigint,
	"next_start_at" timestamp (6) with time zone,
	"last_used_at" timestamp (6) with time zone NOT NULL,
	"dormant_at" timestamp (6) with time zone,
	"deleting_at" timestamp (6) with time zone,
	"automatic_updates" "automatic_updates" DEFAULT 'never' NOT NULL,
	"favorite" boolean DEFAULT false NOT NULL,
	"user_acl" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"group_acl" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"failed_at" timestamp (6) with time zone,
	"lifecycle_retry_after" timestamp (6) with time zone,
	"lifecycle_attempts" integer DEFAULT 0 NOT NULL,
	"claimed_at" timestamp (6) with time zone,
	"latest_build_id" uuid,
	CONSTRAINT "workspaces_deleting_needs_dormant" CHECK (deleting_at is null or dormant_at is not null),
	CONSTRAINT "workspaces_prebuild_has_no_schedule" CHECK (owner_id <> 'c42fdf75-3097-471c-8c33-fb52454d81c0' or (autostart_schedule is null and ttl_ms is null and next_start_at is null and dormant_at is null and deleting_at is null))
);
--> statement-breakpoint
ALTER TABLE "provisioner_daemons" ADD CONSTRAINT "provisioner_daemons_organization_id_organizations_id_fk" FOREIGN KEY ("organization_id") REFERENCES "public"."organizations"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "provisioner_job_logs" ADD CONSTRAINT "provisioner_job_logs_job_id_provisioner_jobs_id_fk" FOREIGN KEY ("job_id") REFERENCES "public"."provisioner_jobs"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "provisioner_job_timings" ADD CONSTRAINT "provisioner_job_timings_job_id_provisioner_jobs_id_fk" FOREIGN KEY ("job_id") REFERENCES "public"."provisioner_jobs"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "provisioner_jobs" ADD CONSTRAINT "provisioner_jobs_organization_id_organizations_id_fk" FOREIGN KEY ("organization_id") REFERENCES "public"."organizations"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "provisioner_jobs" ADD CONSTRAINT "provisioner_jobs_initiator_id_users_id_fk" FOREIGN KEY ("initiator_id") REFERENCES "public"."users"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "provisioner_jobs" ADD CONSTRAINT "provisioner_jobs_file_id_files_id_fk" FOREIGN KEY ("file_id") REFERENCES "public"."files"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "template_version_parameters" ADD CONSTRAINT "template_version_parameters_template_version_id_template_versions_id_fk" FOREIGN KEY ("template_version_id") REFERENCES "public"."template_versions"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "template_version_preset_parameters" ADD CONSTRAINT "template_version_preset_parameters_preset_fk" FOREIGN KEY ("template_version_preset_id") REFERENCES "public"."template_version_presets"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "template_version_preset_prebuild_schedules" ADD CONSTRAINT "template_version_preset_prebuild_schedules_preset_fk" FOREIGN KEY ("preset_id") REFERENCES "public"."template_version_presets"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "template_version_presets" ADD CONSTRAINT "template_version_presets_template_version_id_template_versions_id_fk" FOREIGN KEY ("template_version_id") REFERENCES "public"."template_versions"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "template_version_terraform_values" ADD CONSTRAINT "template_version_terraform_values_template_version_id_template_versions_id_fk" FOREIGN KEY ("template_version_id") REFERENCES "public"."template_versions"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "template_version_terraform_values" ADD CONSTRAINT "template_version_terraform_values_cached_module_files_files_id_fk" FOREIGN KEY ("cached_module_files") REFERENCES "public"."files"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "template_version_variables" ADD CONSTRAINT "template_version_variables_template_version_id_template_versions_id_fk" FOREIGN KEY ("template_version_id") REFERENCES "public"."template_versions"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "template_version_workspace_tags" ADD CONSTRAINT "template_version_workspace_tags_template_version_id_template_versions_id_fk" FOREIGN KEY ("template_version_id") REFERENCES "public"."template_versions"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "template_versions" ADD CONSTRAINT "template_versions_template_id_templates_id_fk" FOREIGN KEY ("template_id") REFERENCES "public"."templates"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "template_versions" ADD CONSTRAINT "template_versions_organization_id_organizations_id_fk" FOREIGN KEY ("organization_id") REFERENCES "public"."organizations"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "template_versions" ADD CONSTRAINT "template_versions_job_id_provisioner_jobs_id_fk" FOREIGN KEY ("job_id") REFERENCES "public"."provisioner_jobs"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "template_versions" ADD CONSTRAINT "template_versions_created_by_users_id_fk" FOREIGN KEY ("created_by") REFERENCES "public"."users"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "templates" ADD CONSTRAINT "templates_organization_id_organizations_id_fk" FOREIGN KEY ("organization_id") REFERENCES "public"."organizations"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "templates" ADD CONSTRAINT "templates_created_by_users_id_fk" FOREIGN KEY ("created_by") REFERENCES "public"."users"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspace_modules" ADD CONSTRAINT "workspace_modules_job_id_provisioner_jobs_id_fk" FOREIGN KEY ("job_id") REFERENCES "public"."provisioner_jobs"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "api_keys" ADD CONSTRAINT "api_keys_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "gitsshkeys" ADD CONSTRAINT "gitsshkeys_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "group_members" ADD CONSTRAINT "group_members_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "group_members" ADD CONSTRAINT "group_members_group_id_groups_id_fk" FOREIGN KEY ("group_id") REFERENCES "public"."groups"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "groups" ADD CONSTRAINT "groups_organization_id_organizations_id_fk" FOREIGN KEY ("organization_id") REFERENCES "public"."organizations"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "idempotency_keys" ADD CONSTRAINT "idempotency_keys_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "organization_members" ADD CONSTRAINT "organization_members_organization_id_organizations_id_fk" FOREIGN KEY ("organization_id") REFERENCES "public"."organizations"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "organization_members" ADD CONSTRAINT "organization_members_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "user_configs" ADD CONSTRAINT "user_configs_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "user_deleted" ADD CONSTRAINT "user_deleted_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "user_status_changes" ADD CONSTRAINT "user_status_changes_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspace_agent_connections" ADD CONSTRAINT "workspace_agent_connections_agent_id_workspace_agents_id_fk" FOREIGN KEY ("agent_id") REFERENCES "public"."workspace_agents"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspace_agent_devcontainers" ADD CONSTRAINT "workspace_agent_devcontainers_workspace_agent_id_workspace_agents_id_fk" FOREIGN KEY ("workspace_agent_id") REFERENCES "public"."workspace_agents"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspace_agent_devcontainers" ADD CONSTRAINT "workspace_agent_devcontainers_subagent_id_workspace_agents_id_fk" FOREIGN KEY ("subagent_id") REFERENCES "public"."workspace_agents"("id") ON DELETE set null ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspace_agent_log_sources" ADD CONSTRAINT "workspace_agent_log_sources_workspace_agent_id_workspace_agents_id_fk" FOREIGN KEY ("workspace_agent_id") REFERENCES "public"."workspace_agents"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspace_agent_logs" ADD CONSTRAINT "workspace_agent_logs_agent_id_workspace_agents_id_fk" FOREIGN KEY ("agent_id") REFERENCES "public"."workspace_agents"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspace_agent_memory_resource_monitors" ADD CONSTRAINT "workspace_agent_memory_resource_monitors_agent_id_workspace_agents_id_fk" FOREIGN KEY ("agent_id") REFERENCES "public"."workspace_agents"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspace_agent_metadata" ADD CONSTRAINT "workspace_agent_metadata_workspace_agent_id_workspace_agents_id_fk" FOREIGN KEY ("workspace_agent_id") REFERENCES "public"."workspace_agents"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspace_agent_scripts" ADD CONSTRAINT "workspace_agent_scripts_workspace_agent_id_workspace_agents_id_fk" FOREIGN KEY ("workspace_agent_id") REFERENCES "public"."workspace_agents"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspace_agent_volume_resource_monitors" ADD CONSTRAINT "workspace_agent_volume_resource_monitors_agent_id_workspace_agents_id_fk" FOREIGN KEY ("agent_id") REFERENCES "public"."workspace_agents"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspace_agents" ADD CONSTRAINT "workspace_agents_resource_id_workspace_resources_id_fk" FOREIGN KEY ("resource_id") REFERENCES "public"."workspace_resources"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspace_agents" ADD CONSTRAINT "workspace_agents_parent_id_workspace_agents_id_fk" FOREIGN KEY ("parent_id") REFERENCES "public"."workspace_agents"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspace_apps" ADD CONSTRAINT "workspace_apps_agent_id_workspace_agents_id_fk" FOREIGN KEY ("agent_id") REFERENCES "public"."workspace_agents"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspace_resource_metadata" ADD CONSTRAINT "workspace_resource_metadata_resource_fk" FOREIGN KEY ("workspace_resource_id") REFERENCES "public"."workspace_resources"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspace_resources" ADD CONSTRAINT "workspace_resources_job_id_provisioner_jobs_id_fk" FOREIGN KEY ("job_id") REFERENCES "public"."provisioner_jobs"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspace_build_parameters" ADD CONSTRAINT "workspace_build_parameters_workspace_build_id_workspace_builds_id_fk" FOREIGN KEY ("workspace_build_id") REFERENCES "public"."workspace_builds"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspace_build_states" ADD CONSTRAINT "workspace_build_states_workspace_build_id_workspace_builds_id_fk" FOREIGN KEY ("workspace_build_id") REFERENCES "public"."workspace_builds"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspace_builds" ADD CONSTRAINT "workspace_builds_workspace_id_workspaces_id_fk" FOREIGN KEY ("workspace_id") REFERENCES "public"."workspaces"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspace_builds" ADD CONSTRAINT "workspace_builds_template_version_id_template_versions_id_fk" FOREIGN KEY ("template_version_id") REFERENCES "public"."template_versions"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspace_builds" ADD CONSTRAINT "workspace_builds_initiator_id_users_id_fk" FOREIGN KEY ("initiator_id") REFERENCES "public"."users"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspace_builds" ADD CONSTRAINT "workspace_builds_job_id_provisioner_jobs_id_fk" FOREIGN KEY ("job_id") REFERENCES "public"."provisioner_jobs"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspace_builds" ADD CONSTRAINT "workspace_builds_template_version_preset_id_template_version_presets_id_fk" FOREIGN KEY ("template_version_preset_id") REFERENCES "public"."template_version_presets"("id") ON DELETE set null ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspace_builds" ADD CONSTRAINT "workspace_builds_ai_task_app_id_workspace_apps_id_fk" FOREIGN KEY ("ai_task_app_id") REFERENCES "public"."workspace_apps"("id") ON DELETE set null ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspaces" ADD CONSTRAINT "workspaces_owner_id_users_id_fk" FOREIGN KEY ("owner_id") REFERENCES "public"."users"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspaces" ADD CONSTRAINT "workspaces_organization_id_organizations_id_fk" FOREIGN KEY ("organization_id") REFERENCES "public"."organizations"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspaces" ADD CONSTRAINT "workspaces_template_id_templates_id_fk" FOREIGN KEY ("template_id") REFERENCES "public"."templates"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "audit_logs_time_idx" ON "audit_logs" USING btree ("time" DESC NULLS LAST);--> statement-breakpoint
CREATE INDEX "audit_logs_resource_idx" ON "audit_logs" USING btree ("resource_id");--> statement-breakpoint
CREATE INDEX "audit_logs_user_idx" ON "audit_logs" USING btree ("user_id");--> statement-breakpoint
CREATE INDEX "audit_logs_organization_idx" ON "audit_logs" USING btree ("organization_id");--> statement-breakpoint
CREATE UNIQUE INDEX "audit_logs_background_once_idx" ON "audit_logs" USING btree ("request_id","resource_type","resource_id","action","status_code") WHERE actor <> '';--> statement-breakpoint
CREATE UNIQUE INDEX "files_hash_created_by_idx" ON "files" USING btree ("hash","created_by");--> statement-breakpoint
CREATE INDEX "provisioner_job_logs_job_idx" ON "provisioner_job_logs" USING btree ("job_id","id");--> statement-breakpoint
CREATE UNIQUE INDEX "provisioner_job_timings_key_idx" ON "provisioner_job_timings" USING btree ("job_id","stage","resource","action");--> statement-breakpoint
CREATE INDEX "provisioner_jobs_status_idx" ON "provisioner_jobs" USING btree ("job_status");--> statement-breakpoint
CREATE INDEX "provisioner_jobs_queue_idx" ON "provisioner_jobs" USING btree ("priority","created_at","id") WHERE started_at is null and completed_at is null;--> statement-breakpoint
CREATE INDEX "provisioner_jobs_unstarted_idx" ON "provisioner_jobs" USING btree ("created_at") WHERE workflow_started_at is null and completed_at is null;--> statement-breakpoint
CREATE INDEX "provisioner_jobs_lease_idx" ON "provisioner_jobs" USING btree ("lease_until") WHERE started_at is not null and completed_at is null;--> statement-breakpoint
CREATE INDEX "provisioner_jobs_organization_idx" ON "provisioner_jobs" USING btree ("organization_id","created_at" DESC NULLS LAST);--> statement-breakpoint
CREATE INDEX "provisioner_jobs_worker_idx" ON "provisioner_jobs" USING btree ("worker_id","organization_id","completed_at" DESC NULLS LAST);--> statement-breakpoint
CREATE UNIQUE INDEX "template_version_parameters_name_idx" ON "template_version_parameters" USING btree ("template_version_id","name");--> statement-breakpoint
CREATE UNIQUE INDEX "template_version_preset_parameters_name_idx" ON "template_version_preset_parameters" USING btree ("template_version_preset_id","name");--> statement-breakpoint
CREATE UNIQUE INDEX "template_version_preset_prebuild_schedules_position_idx" ON "template_version_preset_prebuild_schedules" USING btree ("preset_id","position");--> statement-breakpoint
CREATE UNIQUE INDEX "template_version_presets_name_idx" ON "template_version_presets" USING btree ("name","template_version_id");--> statement-breakpoint
CREATE UNIQUE INDEX "template_version_presets_default_idx" ON "template_version_presets" USING btree ("template_version_id") WHERE is_default;--> statement-breakpoint
CREATE INDEX "template_version_presets_version_idx" ON "template_version_presets" USING btree ("template_version_id");--> statement-breakpoint
CREATE UNIQUE INDEX "template_version_variables_name_idx" ON "template_version_variables" USING btree ("template_version_id","name");--> statement-breakpoint
CREATE UNIQUE INDEX "template_version_workspace_tags_key_idx" ON "template_version_workspace_tags" USING btree ("template_version_id","key");--> statement-breakpoint
CREATE UNIQUE INDEX "template_versions_template_name_idx" ON "template_versions" USING btree ("template_id","name");--> statement-breakpoint
CREATE UNIQUE INDEX "template_versions_job_idx" ON "template_versions" USING btree ("job_id");--> statement-breakpoint
CREATE INDEX "template_versions_list_idx" ON "template_versions" USING btree ("template_id","created_at","id");--> statement-breakpoint
CREATE UNIQUE INDEX "templates_organization_name_idx" ON "templates" USING btree ("organization_id",lower("name")) WHERE deleted = false;--> statement-breakpoint
CREATE INDEX "workspace_modules_job_idx" ON "workspace_modules" USING btree ("job_id");--> statement-breakpoint
CREATE INDEX "api_keys_user_idx" ON "api_keys" USING btree ("user_id");--> statement-breakpoint
CREATE INDEX "api_keys_last_used_idx" ON "api_keys" USING btree ("last_used" DESC NULLS LAST);--> statement-breakpoint
CREATE UNIQUE INDEX "api_keys_token_name_idx" ON "api_keys" USING btree ("user_id","token_name") WHERE login_type = 'token' and token_name <> '';--> statement-breakpoint
CREATE INDEX "group_members_group_idx" ON "group_members" USING btree ("group_id");--> statement-breakpoint
CREATE UNIQUE INDEX "groups_name_idx" ON "groups" USING btree ("organization_id",lower("name"));--> statement-breakpoint
CREATE INDEX "idempotency_keys_created_idx" ON "idempotency_keys" USING btree ("created_at");--> statement-breakpoint
CREATE INDEX "organization_members_user_idx" ON "organization_members" USING btree ("user_id");--> statement-breakpoint
CREATE UNIQUE INDEX "organizations_name_idx" ON "organizations" USING btree (lower("name")) WHERE deleted = false;--> statement-breakpoint
CREATE UNIQUE INDEX "organizations_single_default_idx" ON "organizations" USING btree ("is_default") WHERE is_default;--> statement-breakpoint
CREATE UNIQUE INDEX "users_email_lower_idx" ON "users" USING btree (lower("email")) WHERE deleted = false and email <> '';--> statement-breakpoint
CREATE UNIQUE INDEX "users_username_lower_idx" ON "users" USING btree (lower("username")) WHERE deleted = false;--> statement-breakpoint
CREATE INDEX "workspace_agent_devcontainers_agent_idx" ON "workspace_agent_devcontainers" USING btree ("workspace_agent_id");--> statement-breakpoint
CREATE INDEX "workspace_agent_logs_agent_idx" ON "workspace_agent_logs" USING btree ("agent_id","id");--> statement-breakpoint
CREATE INDEX "workspace_agent_scripts_agent_idx" ON "workspace_agent_scripts" USING btree ("workspace_agent_id");--> statement-breakpoint
CREATE INDEX "workspace_agents_resource_idx" ON "workspace_agents" USING btree ("resource_id");--> statement-breakpoint
CREATE INDEX "workspace_agents_token_idx" ON "workspace_agents" USING btree ("auth_token_hash");--> statement-breakpoint
CREATE INDEX "workspace_agents_instance_idx" ON "workspace_agents" USING btree ("auth_instance_id","deleted");--> statement-breakpoint
CREATE INDEX "workspace_agents_parent_idx" ON "workspace_agents" USING btree ("parent_id") WHERE parent_id is not null;--> statement-breakpoint
CREATE UNIQUE INDEX "workspace_apps_agent_slug_idx" ON "workspace_apps" USING btree ("agent_id","slug");--> statement-breakpoint
CREATE UNIQUE INDEX "workspace_resource_metadata_key_idx" ON "workspace_resource_metadata" USING btree ("workspace_resource_id","key");--> statement-breakpoint
CREATE INDEX "workspace_resources_job_idx" ON "workspace_resources" USING btree ("job_id");--> statement-breakpoint
CREATE UNIQUE INDEX "workspace_builds_number_idx" ON "workspace_builds" USING btree ("workspace_id","build_number");--> statement-breakpoint
CREATE UNIQUE INDEX "workspace_builds_job_idx" ON "workspace_builds" USING btree ("job_id");--> statement-breakpoint
CREATE UNIQUE INDEX "workspace_builds_latest_idx" ON "workspace_builds" USING btree ("workspace_id") WHERE is_latest;--> statement-breakpoint
CREATE UNIQUE INDEX "workspace_builds_active_idx" ON "workspace_builds" USING btree ("workspace_id") WHERE active;--> statement-breakpoint
CREATE INDEX "workspace_builds_initiator_idx" ON "workspace_builds" USING btree ("initiator_id");--> statement-breakpoint
CREATE INDEX "workspace_builds_preset_idx" ON "workspace_builds" USING btree ("template_version_preset_id") WHERE template_version_preset_id is not null;--> statement-breakpoint
CREATE INDEX "workspace_builds_deadline_idx" ON "workspace_builds" USING btree ("deadline") WHERE is_latest and transition = 'start' and deadline is not null;--> statement-breakpoint
CREATE UNIQUE INDEX "workspaces_owner_name_idx" ON "workspaces" USING btree ("owner_id",lower("name")) WHERE deleted = false;--> statement-breakpoint
CREATE INDEX "workspaces_template_idx" ON "workspaces" USING btree ("template_id") WHERE deleted = false;--> statement-breakpoint
CREATE INDEX "workspaces_next_start_idx" ON "workspaces" USING btree ("next_start_at") WHERE deleted = false and next_start_at is not null;--> statement-breakpoint
CREATE INDEX "workspaces_deleting_idx" ON "workspaces" USING btree ("deleting_at") WHERE deleted = false and deleting_at is not null;--> statement-breakpoint
CREATE INDEX "workspaces_dormancy_idx" ON "workspaces" USING btree ("template_id","last_used_at") WHERE deleted = false and dormant_at is null;--> statement-breakpoint
CREATE INDEX "workspaces_failed_idx" ON "workspaces" USING btree ("template_id","failed_at") WHERE deleted = false and failed_at is not null;--> statement-breakpoint
CREATE INDEX "workspaces_organization_idx" ON "workspaces" USING btree ("organization_id") WHERE deleted = false;