-- Bulk values are stored as they are: state is encrypted or compressed already, archives are read whole.
ALTER TABLE "workspace_build_states" ALTER COLUMN "state" SET STORAGE EXTERNAL;
--> statement-breakpoint
-- Agent logs and metadata are rewritten all the time and lose nothing that matters in a crash (spec/01 §4.3).
ALTER TABLE "workspace_agent_logs" SET UNLOGGED;
--> statement-breakpoint
ALTER TABLE "workspace_agent_metadata" SET UNLOGGED;
--> statement-breakpoint
ALTER TABLE "workspace_agent_connections" SET (fillfactor = 70);
--> statement-breakpoint
-- Deleted workspaces stay in the table for ever and are read newest first by owner and name.
CREATE INDEX "workspaces_deleted_idx" ON "workspaces" ("owner_id", lower("name"), "updated_at" DESC) WHERE deleted = true;
--> statement-breakpoint
-- A system user never gets an API key, whoever asks (spec/07 §1).
CREATE FUNCTION "refuse_unusable_key_owner"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM users WHERE id = NEW.user_id AND (is_system OR deleted)) THEN
    RAISE EXCEPTION 'api keys cannot belong to a system or deleted user' USING ERRCODE = 'check_violation', CONSTRAINT = 'api_keys_owner_usable';
  END IF;
  RETURN NEW;
END $$;
--> statement-breakpoint
CREATE TRIGGER "api_keys_owner_usable" BEFORE INSERT OR UPDATE OF user_id ON "api_keys" FOR EACH ROW EXECUTE FUNCTION "refuse_unusable_key_owner"();
--> statement-breakpoint
CREATE FUNCTION "record_user_status_change"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' OR OLD.status IS DISTINCT FROM NEW.status THEN
    INSERT INTO user_status_changes (user_id, new_status, changed_at) VALUES (NEW.id, NEW.status, NEW.updated_at);
  END IF;
  IF TG_OP = 'UPDATE' AND NEW.deleted AND NOT OLD.deleted THEN
    INSERT INTO user_deleted (user_id, deleted_at) VALUES (NEW.id, NEW.updated_at);
    DELETE FROM api_keys WHERE user_id = NEW.id;
  END IF;
  RETURN NULL;
END $$;
--> statement-breakpoint
CREATE TRIGGER "users_status_changes" AFTER INSERT OR UPDATE OF status, deleted ON "users" FOR EACH ROW EXECUTE FUNCTION "record_user_status_change"();
--> statement-breakpoint
CREATE FUNCTION "refuse_change"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'check_violation';
END $$;
--> statement-breakpoint
CREATE TRIGGER "audit_logs_append_only" BEFORE UPDATE OR DELETE ON "audit_logs" FOR EACH ROW EXECUTE FUNCTION "refuse_change"();
--> statement-breakpoint
-- A removed member leaves the organization's groups (spec/01 §1.3).
CREATE FUNCTION "leave_groups"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM group_members gm USING groups g
  WHERE gm.group_id = g.id AND g.organization_id = OLD.organization_id AND gm.user_id = OLD.user_id;
  RETURN NULL;
END $$;
--> statement-breakpoint
CREATE TRIGGER "organization_members_leave_groups" AFTER DELETE ON "organization_members" FOR EACH ROW EXECUTE FUNCTION "leave_groups"();
--> statement-breakpoint
INSERT INTO "organizations" (name, display_name, description, is_default, created_at, updated_at)
VALUES ('default', 'Default', '', true, now(), now());
--> statement-breakpoint
INSERT INTO "groups" (id, name, organization_id, display_name) SELECT id, 'Everyone', id, '' FROM organizations;
--> statement-breakpoint
INSERT INTO "users" (id, email, username, name, status, login_type, is_system, created_at, updated_at)
VALUES ('c42fdf75-3097-471c-8c33-fb52454d81c0', 'prebuilds@system', 'prebuilds', 'Prebuilds Owner', 'active', 'none', true, now(), now());
--> statement-breakpoint
INSERT INTO "organization_members" (organization_id, user_id, created_at, updated_at)
SELECT id, 'c42fdf75-3097-471c-8c33-fb52454d81c0', now(), now() FROM organizations WHERE is_default;
--> statement-breakpoint
CREATE VIEW "workspaces_expanded" AS
SELECT w.*, u.avatar_url AS owner_avatar_url, u.username AS owner_username, u.name AS owner_name,
  o.name AS organization_name, o.display_name AS organization_display_name, o.icon AS organization_icon, o.description AS organization_description,
  t.name AS template_name, t.display_name AS template_display_name, t.icon AS template_icon, t.description AS template_description
FROM workspaces w
JOIN users u ON u.id = w.owner_id
JOIN organizations o ON o.id = w.organization_id
JOIN templates t ON t.id = w.template_id;
--> statement-breakpoint
CREATE VIEW "template_with_names" AS
SELECT t.*, u.username AS created_by_username, u.name AS created_by_name, u.avatar_url AS created_by_avatar_url,
  o.name AS organization_name, o.display_name AS organization_display_name, o.icon AS organization_icon
FROM templates t
JOIN users u ON u.id = t.created_by
JOIN organizations o ON o.id = t.organization_id;
--> statement-breakpoint
CREATE VIEW "template_version_with_user" AS
SELECT v.*, u.username AS created_by_username, u.name AS created_by_name, u.avatar_url AS created_by_avatar_url
FROM template_versions v JOIN users u ON u.id = v.created_by;
--> statement-breakpoint
CREATE VIEW "workspace_build_with_user" AS
SELECT b.*, u.username AS initiator_by_username, u.name AS initiator_by_name, u.avatar_url AS initiator_by_avatar_url
FROM workspace_builds b JOIN users u ON u.id = b.initiator_id;
