CREATE TYPE "public"."ai_seat_usage_reason" AS ENUM('aibridge', 'task');--> statement-breakpoint
CREATE TYPE "public"."workspace_app_status_state" AS ENUM('working', 'complete', 'failure', 'idle');--> statement-breakpoint
CREATE TYPE "public"."notification_message_status" AS ENUM('pending', 'leased', 'sent', 'temporary_failure', 'permanent_failure', 'inhibited');--> statement-breakpoint
CREATE TYPE "public"."notification_method" AS ENUM('smtp', 'webhook', 'inbox');--> statement-breakpoint
CREATE TYPE "public"."workspace_agent_script_timing_stage" AS ENUM('start', 'stop', 'cron');--> statement-breakpoint
CREATE TYPE "public"."workspace_agent_script_timing_status" AS ENUM('ok', 'exit_failure', 'timed_out', 'pipes_left_open');--> statement-breakpoint
CREATE TABLE "ai_seat_state" (
	"user_id" uuid PRIMARY KEY NOT NULL,
	"first_used_at" timestamp (6) with time zone NOT NULL,
	"last_used_at" timestamp (6) with time zone NOT NULL,
	"last_event_type" "ai_seat_usage_reason" NOT NULL,
	"last_event_description" text NOT NULL,
	"updated_at" timestamp (6) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "workspace_agent_requests" (
	"id" uuid PRIMARY KEY NOT NULL,
	"agent_id" uuid NOT NULL,
	"created_at" timestamp (6) with time zone NOT NULL,
	"method" text NOT NULL,
	"params" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"answered_at" timestamp (6) with time zone,
	"result" jsonb,
	"error" text
);
--> statement-breakpoint
CREATE TABLE "workspace_agent_script_timings" (
	"script_id" uuid NOT NULL,
	"started_at" timestamp (6) with time zone NOT NULL,
	"ended_at" timestamp (6) with time zone NOT NULL,
	"exit_code" integer NOT NULL,
	"stage" "workspace_agent_script_timing_stage" NOT NULL,
	"status" "workspace_agent_script_timing_status" NOT NULL,
	CONSTRAINT "workspace_agent_script_timings_script_id_started_at_pk" PRIMARY KEY("script_id","started_at")
);
--> statement-breakpoint
CREATE TABLE "workspace_agent_stats" (
	"id" bigserial PRIMARY KEY NOT NULL,
	"created_at" timestamp (6) with time zone NOT NULL,
	"user_id" uuid NOT NULL,
	"agent_id" uuid NOT NULL,
	"workspace_id" uuid NOT NULL,
	"template_id" uuid NOT NULL,
	"connections_by_proto" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"connection_count" bigint DEFAULT 0 NOT NULL,
	"rx_packets" bigint DEFAULT 0 NOT NULL,
	"rx_bytes" bigint DEFAULT 0 NOT NULL,
	"tx_packets" bigint DEFAULT 0 NOT NULL,
	"tx_bytes" bigint DEFAULT 0 NOT NULL,
	"connection_median_latency_ms" double precision DEFAULT -1 NOT NULL,
	"session_count_vscode" bigint DEFAULT 0 NOT NULL,
	"session_count_jetbrains" bigint DEFAULT 0 NOT NULL,
	"session_count_reconnecting_pty" bigint DEFAULT 0 NOT NULL,
	"session_count_ssh" bigint DEFAULT 0 NOT NULL,
	"session_counts" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"usage" boolean DEFAULT false NOT NULL
);
--> statement-breakpoint
CREATE TABLE "workspace_app_statuses" (
	"id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"created_at" timestamp (6) with time zone NOT NULL,
	"agent_id" uuid NOT NULL,
	"app_id" uuid NOT NULL,
	"workspace_id" uuid NOT NULL,
	"state" "workspace_app_status_state" NOT NULL,
	"message" text NOT NULL,
	"uri" text
);
--> statement-breakpoint
CREATE TABLE "notification_messages" (
	"id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"notification_template_id" uuid NOT NULL,
	"user_id" uuid NOT NULL,
	"method" "notification_method" NOT NULL,
	"status" "notification_message_status" DEFAULT 'pending' NOT NULL,
	"status_reason" text,
	"created_by" text NOT NULL,
	"payload" jsonb NOT NULL,
	"attempt_count" integer DEFAULT 0 NOT NULL,
	"targets" uuid[] DEFAULT '{}'::uuid[] NOT NULL,
	"created_at" timestamp (6) with time zone NOT NULL,
	"updated_at" timestamp (6) with time zone NOT NULL,
	"next_retry_after" timestamp (6) with time zone,
	"queued_seconds" integer,
	"dedupe_hash" "bytea" NOT NULL
);
--> statement-breakpoint
CREATE TABLE "user_secrets" (
	"id" uuid PRIMARY KEY NOT NULL,
	"user_id" uuid NOT NULL,
	"name" text NOT NULL,
	"description" text DEFAULT '' NOT NULL,
	"env_name" text DEFAULT '' NOT NULL,
	"file_path" text DEFAULT '' NOT NULL,
	"enabled" boolean DEFAULT true NOT NULL,
	"value" "bytea" NOT NULL,
	"value_key_id" text NOT NULL,
	"value_bytes" integer NOT NULL,
	"created_at" timestamp (6) with time zone NOT NULL,
	"updated_at" timestamp (6) with time zone NOT NULL
);
--> statement-breakpoint
ALTER TABLE "provisioner_jobs" ADD COLUMN "update_sequence" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "workspace_agents" ADD COLUMN "lifecycle_changed_at" timestamp (6) with time zone;--> statement-breakpoint
ALTER TABLE "workspace_agents" ADD COLUMN "shutdown_requested_at" timestamp (6) with time zone;--> statement-breakpoint
ALTER TABLE "workspace_agents" ADD COLUMN "shutdown_reason" text;--> statement-breakpoint
ALTER TABLE "ai_seat_state" ADD CONSTRAINT "ai_seat_state_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspace_agent_requests" ADD CONSTRAINT "workspace_agent_requests_agent_id_workspace_agents_id_fk" FOREIGN KEY ("agent_id") REFERENCES "public"."workspace_agents"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspace_agent_script_timings" ADD CONSTRAINT "workspace_agent_script_timings_script_fk" FOREIGN KEY ("script_id") REFERENCES "public"."workspace_agent_scripts"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspace_app_statuses" ADD CONSTRAINT "workspace_app_statuses_agent_id_workspace_agents_id_fk" FOREIGN KEY ("agent_id") REFERENCES "public"."workspace_agents"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspace_app_statuses" ADD CONSTRAINT "workspace_app_statuses_app_id_workspace_apps_id_fk" FOREIGN KEY ("app_id") REFERENCES "public"."workspace_apps"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspace_app_statuses" ADD CONSTRAINT "workspace_app_statuses_workspace_id_workspaces_id_fk" FOREIGN KEY ("workspace_id") REFERENCES "public"."workspaces"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "notification_messages" ADD CONSTRAINT "notification_messages_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "user_secrets" ADD CONSTRAINT "user_secrets_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "workspace_agent_requests_agent_idx" ON "workspace_agent_requests" USING btree ("agent_id");--> statement-breakpoint
CREATE INDEX "workspace_agent_requests_created_idx" ON "workspace_agent_requests" USING btree ("created_at");--> statement-breakpoint
CREATE INDEX "workspace_agent_stats_template_idx" ON "workspace_agent_stats" USING btree ("template_id","created_at","user_id") WHERE connection_count > 0;--> statement-breakpoint
CREATE INDEX "workspace_agent_stats_created_idx" ON "workspace_agent_stats" USING btree ("created_at");--> statement-breakpoint
CREATE INDEX "workspace_app_statuses_workspace_idx" ON "workspace_app_statuses" USING btree ("workspace_id","created_at" DESC NULLS LAST);--> statement-breakpoint
CREATE INDEX "workspace_app_statuses_app_idx" ON "workspace_app_statuses" USING btree ("app_id","created_at" DESC NULLS LAST);--> statement-breakpoint
CREATE UNIQUE INDEX "notification_messages_dedupe_idx" ON "notification_messages" USING btree ("dedupe_hash");--> statement-breakpoint
CREATE INDEX "notification_messages_pending_idx" ON "notification_messages" USING btree ("created_at") WHERE status in ('pending', 'temporary_failure');--> statement-breakpoint
CREATE UNIQUE INDEX "user_secrets_name_idx" ON "user_secrets" USING btree ("user_id","name");--> statement-breakpoint
CREATE UNIQUE INDEX "user_secrets_env_name_idx" ON "user_secrets" USING btree ("user_id","env_name") WHERE env_name <> '';--> statement-breakpoint
CREATE UNIQUE INDEX "user_secrets_file_path_idx" ON "user_secrets" USING btree ("user_id","file_path") WHERE file_path <> '';--> statement-breakpoint
CREATE INDEX "provisioner_jobs_update_idx" ON "provisioner_jobs" USING btree ("update_sequence") WHERE type = 'workspace_build';--> statement-breakpoint
ALTER TABLE "workspace_agents" ADD CONSTRAINT "workspace_agents_logs_length" CHECK (logs_length <= 1048576);--> statement-breakpoint
CREATE VIEW "public"."live_workspace_agents" AS (select "id", "created_at", "updated_at", "resource_id", "name", "auth_token_hash", "auth_token_enc", "auth_token_enc_key_id", "auth_instance_id", "architecture", "operating_system", "environment_variables", "directory", "expanded_directory", "version", "api_version", "connection_timeout_seconds", "troubleshooting_url", "motd_file", "lifecycle_state", "lifecycle_changed_at", "started_at", "ready_at", "shutdown_requested_at", "shutdown_reason", "subsystems", "display_apps", "display_order", "logs_length", "logs_overflowed", "parent_id", "api_key_scope", "deleted" from "workspace_agents" where "workspace_agents"."deleted" = false);--> statement-breakpoint
-- One place in the stream of status changes per change; readers go on after the last place they saw.
CREATE SEQUENCE "provisioner_job_updates";
--> statement-breakpoint
CREATE FUNCTION "draw_job_update_sequence"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.update_sequence := nextval('provisioner_job_updates');
  RETURN NEW;
END $$;
--> statement-breakpoint
CREATE TRIGGER "provisioner_jobs_update_sequence" BEFORE INSERT OR UPDATE OF started_at, canceled_at, completed_at, error ON "provisioner_jobs" FOR EACH ROW EXECUTE FUNCTION "draw_job_update_sequence"();
--> statement-breakpoint
-- What a user may keep, counted on plain bytes (spec/07 §9). Rows of one user are counted one after the other.
CREATE FUNCTION "limit_user_secrets"() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  total record;
BEGIN
  PERFORM 1 FROM users WHERE id = NEW.user_id FOR UPDATE;
  SELECT count(*) AS secrets, coalesce(sum(value_bytes), 0) AS bytes,
    coalesce(sum(value_bytes) FILTER (WHERE env_name <> ''), 0) AS env_bytes
  INTO total FROM user_secrets WHERE user_id = NEW.user_id AND id <> NEW.id;
  IF total.secrets >= 50 THEN
    RAISE EXCEPTION 'at most 50 secrets' USING ERRCODE = 'check_violation', CONSTRAINT = 'user_secrets_count';
  END IF;
  IF total.bytes + NEW.value_bytes > 204800 THEN
    RAISE EXCEPTION 'at most 204800 bytes in all' USING ERRCODE = 'check_violation', CONSTRAINT = 'user_secrets_bytes';
  END IF;
  IF NEW.env_name <> '' AND total.env_bytes + NEW.value_bytes > 24576 THEN
    RAISE EXCEPTION 'at most 24576 bytes in variables' USING ERRCODE = 'check_violation', CONSTRAINT = 'user_secrets_env_bytes';
  END IF;
  RETURN NEW;
END $$;
--> statement-breakpoint
CREATE TRIGGER "user_secrets_limits" BEFORE INSERT OR UPDATE OF value_bytes, env_name, user_id ON "user_secrets" FOR EACH ROW EXECUTE FUNCTION "limit_user_secrets"();
--> statement-breakpoint
-- A system or deleted user keeps none (spec/07 §1).
CREATE FUNCTION "refuse_unusable_secret_owner"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM users WHERE id = NEW.user_id AND (is_system OR deleted)) THEN
    RAISE EXCEPTION 'secrets cannot belong to a system or deleted user' USING ERRCODE = 'check_violation', CONSTRAINT = 'user_secrets_owner_usable';
  END IF;
  RETURN NEW;
END $$;
--> statement-breakpoint
CREATE TRIGGER "user_secrets_owner_usable" BEFORE INSERT ON "user_secrets" FOR EACH ROW EXECUTE FUNCTION "refuse_unusable_secret_owner"();
--> statement-breakpoint
CREATE OR REPLACE FUNCTION "record_user_status_change"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' OR OLD.status IS DISTINCT FROM NEW.status THEN
    INSERT INTO user_status_changes (user_id, new_status, changed_at) VALUES (NEW.id, NEW.status, NEW.updated_at);
  END IF;
  IF TG_OP = 'UPDATE' AND NEW.deleted AND NOT OLD.deleted THEN
    INSERT INTO user_deleted (user_id, deleted_at) VALUES (NEW.id, NEW.updated_at);
    DELETE FROM api_keys WHERE user_id = NEW.id;
    DELETE FROM user_secrets WHERE user_id = NEW.id;
  END IF;
  RETURN NULL;
END $$;
