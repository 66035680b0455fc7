CREATE TYPE "public"."state_source" AS ENUM('build', 'upload', 'restore', 'forget', 'orphan');--> statement-breakpoint
ALTER TABLE "provisioner_jobs" ADD COLUMN "log_run" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "provisioner_jobs" ADD COLUMN "log_error_offset" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "provisioner_jobs" ADD COLUMN "continuations" smallint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "provisioner_jobs" ADD COLUMN "unsettled" jsonb;--> statement-breakpoint
ALTER TABLE "workspace_builds" ADD COLUMN "refresh_only" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "workspace_build_states" ALTER COLUMN "state" DROP NOT NULL;--> statement-breakpoint
ALTER TABLE "workspace_build_states" ADD COLUMN "workspace_id" uuid;--> statement-breakpoint
ALTER TABLE "workspace_build_states" ADD COLUMN "version" integer;--> statement-breakpoint
ALTER TABLE "workspace_build_states" ADD COLUMN "source" "state_source" DEFAULT 'build' NOT NULL;--> statement-breakpoint
ALTER TABLE "workspace_build_states" ADD COLUMN "created_by" uuid;--> statement-breakpoint
ALTER TABLE "workspace_build_states" ADD COLUMN "created_at" timestamp (6) with time zone;--> statement-breakpoint
ALTER TABLE "workspace_build_states" ADD COLUMN "checksum" text DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE "workspace_build_states" ADD COLUMN "size" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
-- Until now a build had one state at most: its row becomes the workspace's next version, in the order of the builds.
UPDATE "workspace_build_states" s SET "workspace_id" = n.workspace_id, "version" = n.version, "created_at" = s.updated_at
FROM (
  SELECT b.id, b.workspace_id, row_number() OVER (PARTITION BY b.workspace_id ORDER BY b.build_number) AS version
  FROM "workspace_builds" b JOIN "workspace_build_states" x ON x.workspace_build_id = b.id
) n WHERE n.id = s.workspace_build_id;--> statement-breakpoint
ALTER TABLE "workspace_build_states" ALTER COLUMN "workspace_id" SET NOT NULL;--> statement-breakpoint
ALTER TABLE "workspace_build_states" ALTER COLUMN "version" SET NOT NULL;--> statement-breakpoint
ALTER TABLE "workspace_build_states" ALTER COLUMN "created_at" SET NOT NULL;--> statement-breakpoint
ALTER TABLE "workspace_build_states" ALTER COLUMN "source" DROP DEFAULT;--> statement-breakpoint
ALTER TABLE "workspace_build_states" ALTER COLUMN "checksum" DROP DEFAULT;--> statement-breakpoint
ALTER TABLE "workspace_build_states" DROP CONSTRAINT "workspace_build_states_pkey";--> statement-breakpoint
ALTER TABLE "workspace_build_states" ADD CONSTRAINT "workspace_build_states_workspace_id_version_pk" PRIMARY KEY("workspace_id","version");--> statement-breakpoint
ALTER TABLE "workspace_build_states" ADD CONSTRAINT "workspace_build_states_workspace_id_workspaces_id_fk" FOREIGN KEY ("workspace_id") REFERENCES "public"."workspaces"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspace_build_states" ADD CONSTRAINT "workspace_build_states_created_by_users_id_fk" FOREIGN KEY ("created_by") REFERENCES "public"."users"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "workspace_build_states_build_idx" ON "workspace_build_states" USING btree ("workspace_build_id");--> statement-breakpoint
CREATE UNIQUE INDEX "workspace_build_states_run_idx" ON "workspace_build_states" USING btree ("workspace_build_id") WHERE source = 'build';
