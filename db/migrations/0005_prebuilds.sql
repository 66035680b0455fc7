ALTER TABLE "provisioner_daemons" ADD COLUMN "slots" integer DEFAULT 1 NOT NULL;--> statement-breakpoint
ALTER TABLE "template_version_terraform_values" ADD COLUMN "claim_dependencies" jsonb;--> statement-breakpoint
ALTER TABLE "templates" ADD COLUMN "instant_claim" boolean DEFAULT true NOT NULL;--> statement-breakpoint
ALTER TABLE "workspace_builds" ADD COLUMN "handed_over" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "workspace_builds" ADD COLUMN "claim_drift" jsonb;--> statement-breakpoint
CREATE INDEX "workspace_builds_prebuilt_idx" ON "workspace_builds" USING btree ("template_version_preset_id") WHERE build_number = 1 and prebuild_stage = 'create';--> statement-breakpoint
CREATE INDEX "workspace_builds_claims_idx" ON "workspace_builds" USING btree ("template_version_preset_id") WHERE prebuild_stage = 'claim';--> statement-breakpoint
CREATE INDEX "workspaces_prebuilds_idx" ON "workspaces" USING btree ("template_id") WHERE owner_id = 'c42fdf75-3097-471c-8c33-fb52454d81c0' and deleted = false;