-- Definitions are part of a build: a crash must not take them (spec/05 §9 means the values).
ALTER TABLE "workspace_agent_metadata" SET LOGGED;
--> statement-breakpoint
CREATE TABLE "workspace_agent_metadata_values" (
	"workspace_agent_id" uuid NOT NULL,
	"key" varchar(127) NOT NULL,
	"value" varchar(2048) NOT NULL,
	"error" varchar(2048) NOT NULL,
	"collected_at" timestamp (6) with time zone NOT NULL,
	CONSTRAINT "workspace_agent_metadata_values_workspace_agent_id_key_pk" PRIMARY KEY("workspace_agent_id","key")
);
--> statement-breakpoint
ALTER TABLE "workspace_agent_metadata_values" ADD CONSTRAINT "workspace_agent_metadata_values_definition_fk" FOREIGN KEY ("workspace_agent_id","key") REFERENCES "public"."workspace_agent_metadata"("workspace_agent_id","key") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspace_agent_metadata_values" SET UNLOGGED;
--> statement-breakpoint
ALTER TABLE "workspace_agent_metadata_values" SET (fillfactor = 70);
--> statement-breakpoint
ALTER TABLE "workspace_agent_metadata" DROP COLUMN "value";--> statement-breakpoint
ALTER TABLE "workspace_agent_metadata" DROP COLUMN "error";--> statement-breakpoint
ALTER TABLE "workspace_agent_metadata" DROP COLUMN "collected_at";