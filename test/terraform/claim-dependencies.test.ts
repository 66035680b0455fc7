import { readFile, rm } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest';
import { claimEnvironment } from '../../domain/claims.ts';
import type { ClaimDependencies } from '../../domain/provisioned.ts';
import { claimDependencies, describeClaim } from '../../terraform/claim-dependencies.ts';
import { parseModule } from '../../terraform/claim-sources.ts';
import { planInstances } from '../../terraform/plan.ts';
import { claimant, claimedName, importedClaim, planClaim, prelude, workspaceId } from './support/claims.ts';
import { scratchDir } from './support/terraform-runs.ts';

let dir: string;
beforeEach(async () => {
  dir = await scratchDir();
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const tools = () => ({ terraformPath: inject('terraformPath'), tfCliConfig: inject('tfCliConfig') });
const reasons = ({ dependents }: ClaimDependencies) => dependents.map(({ address, because }) => [address, because]);
/** Types that a claim may change late. */
const late = /\bcoder_(metadata|ai_task)\./;

/**
 * Decides as an import does, then lets Terraform make and claim a workspace of the template: whatever it changes has to be among
 * what was found.
 */
async function decided(files: Readonly<Record<string, string>>): Promise<ClaimDependencies> {
  const found = await importedClaim(tools(), dir, files);
  const { changed, plan } = await planClaim(tools(), dir);
  const names = planInstances(plan).filter(({ type }) => type === 'coder_env');
  const known = claimEnvironment(found.environment, {
    owner: { ...claimant, full_name: 'Ann Example' },
    workspace: { id: workspaceId, name: claimedName },
  });
  for (const { name, value } of known)
    expect(names.filter(({ values }) => values['name'] === name).map(({ values }) => values['value'])).toEqual([value]);
  const variables = new Set(
    names.filter(({ values }) => known.some(({ name }) => name === values['name'])).map((env) => env.label),
  );
  const expected = new Set(found.dependents.map(({ address }) => address));
  expect(changed.filter((label) => !late.test(label) && !expected.has(label) && !variables.has(label))).toEqual([]);
  return found;
}
const decidedOf = (text: string, more: Readonly<Record<string, string>> = {}) =>
  decided({ 'main.tf': prelude + text, ...more });

const name = 'data.coder_workspace_owner.me.name';

describe('a claim is pure', () => {
  test('when infrastructure uses only what stays the same', async () => {
    const found = await decidedOf(`
      data "coder_provisioner" "host" {}
      data "coder_parameter" "size" {
        name    = "size"
        default = "2"
      }
      locals {
        home = "/home/\${data.coder_workspace.me.id}"
        args = { size = data.coder_parameter.size.value, arch = data.coder_provisioner.host.arch }
      }
      resource "terraform_data" "vm" {
        count            = data.coder_workspace.me.start_count
        input            = [local.home, local.args, data.coder_workspace.me.access_url, data.coder_workspace.me.template_name]
        triggers_replace = [coder_agent.main.token, coder_agent.main.init_script, coder_agent.main.id]
      }
      resource "coder_app" "page" {
        agent_id = coder_agent.main.id
        slug     = "page"
        url      = "http://localhost:80\${data.coder_workspace.me.start_count}"
      }
    `);
    expect(found).toEqual({ dependents: [], environment: [] });
    expect(describeClaim(found)).toBe('A claim of a prebuild of this version is handed over at once.');
  });

  test('when only shown metadata names the owner', async () => {
    const found = await decidedOf(`
      resource "terraform_data" "vm" {}
      resource "coder_metadata" "vm" {
        resource_id = terraform_data.vm.id
        item {
          key   = "owner"
          value = data.coder_workspace_owner.me.email
        }
      }
    `);
    expect(found.dependents).toEqual([]);
  });

  test('when the arguments that name the owner are ignored, blocks too, and only then', async () => {
    const found = await decidedOf(`
      resource "terraform_data" "one" {
        input = data.coder_workspace_owner.me.name
        lifecycle {
          # a remedy of many templates
          ignore_changes = [
            input, # the owner's
          ]
        }
      }
      resource "terraform_data" "all" {
        input = data.coder_workspace_owner.me.name
        lifecycle {
          ignore_changes = all
        }
      }
      resource "terraform_data" "follows" {
        input = [terraform_data.one.output, terraform_data.all.output]
      }
      resource "terraform_data" "other" {
        input = data.coder_workspace_owner.me.name
        lifecycle {
          ignore_changes = [triggers_replace]
        }
      }
      resource "terraform_data" "part" {
        input = { "input,input,x" = data.coder_workspace_owner.me.name }
        lifecycle {
          ignore_changes = [input["input,input,x"]]
        }
      }
      resource "terraform_data" "count" {
        count = data.coder_workspace.me.prebuild_count
        lifecycle {
          ignore_changes = all
        }
      }
    `);
    expect(reasons(found)).toEqual([
      ['terraform_data.count', 'data.coder_workspace.me.prebuild_count'],
      ['terraform_data.other', name],
      ['terraform_data.part', name],
    ]);
  });

  test('when provisioners, conditions and outputs name the owner', async () => {
    const found = await decidedOf(`
      resource "terraform_data" "vm" {
        provisioner "local-exec" {
          command = "true \${data.coder_workspace_owner.me.name}"
        }
        lifecycle {
          postcondition {
            condition     = data.coder_workspace_owner.me.name != ""
            error_message = "nobody"
          }
        }
      }
      output "owner" {
        value = data.coder_workspace_owner.me.name
      }
    `);
    expect(found.dependents).toEqual([]);
  });
});

describe('a claim waits', () => {
  test('for what is reached through locals, strings, heredocs, functions and loops', async () => {
    const found = await decidedOf(
      `
      locals {
        who    = lower(data.coder_workspace_owner.me.name)
        prefix = "box-\${local.who}"
        script = <<-EOT
          echo "%{if local.who != ""}\${upper("\${local.prefix}")}%{endif}"
        EOT
        unused = data.coder_workspace.me.name
        loop   = { for k, v in { a = data.coder_workspace_owner.me["groups"] } : k => v }
        same   = "$\${data.coder_workspace_owner.me.name} is only written" != "" ? 1 : 0
      }
      resource "terraform_data" "string" {
        input = "vm-\${local.prefix}"
      }
      resource "terraform_data" "heredoc" {
        input = local.script
      }
      resource "terraform_data" "loop" {
        input = [for each in local.loop : each]
      }
      resource "terraform_data" "whole" {
        input = { for k, v in data.coder_workspace.me : k => v if k == "id" }
      }
      resource "terraform_data" "untouched" {
        input = "a"
      }
    `.replace('me["groups"]', 'me.groups'),
    );
    expect(reasons(found)).toEqual([
      ['terraform_data.heredoc', name],
      ['terraform_data.loop', 'data.coder_workspace_owner.me.groups'],
      ['terraform_data.string', name],
      ['terraform_data.whole', 'data.coder_workspace.me'],
    ]);
    expect(describeClaim(found)).toBe(
      `A claim waits for Terraform: terraform_data.heredoc depends on ${name} (so do 3 more).`,
    );
  });

  test('for what is reached through variables and outputs of nested modules', async () => {
    const found = await decidedOf(
      `
      module "outer" {
        source = "./outer"
        user   = data.coder_workspace_owner.me.name
        fixed  = data.coder_workspace.me.id
      }
      resource "terraform_data" "vm" {
        input = module.outer.login
      }
      resource "terraform_data" "fixed" {
        input = module.outer.fixed
      }
      module "many" {
        source   = "./outer/inner"
        for_each = { a = data.coder_workspace_owner.me.email }
        who      = each.value
      }
      module "none" {
        source = "./outer/inner"
        count  = data.coder_workspace.me.is_prebuild ? 1 : 0
        who    = "nobody"
      }
      `,
      {
        'outer/main.tf': `
          variable "user" {}
          variable "fixed" {}
          module "inner" {
            source = "./inner"
            who    = "u-\${var.user}"
          }
          resource "terraform_data" "fixed" {
            input = var.fixed
          }
          output "login" {
            value = module.inner.login
          }
          output "fixed" {
            value = terraform_data.fixed.output
          }
        `,
        'outer/inner/main.tf': `
          variable "who" {}
          locals {
            login = upper(var.who)
          }
          resource "terraform_data" "account" {
            input = local.login
          }
          output "login" {
            value = local.login
          }
        `,
      },
    );
    expect(reasons(found)).toEqual([
      ['module.many.terraform_data.account', 'data.coder_workspace_owner.me.email'],
      ['module.none.terraform_data.account', 'data.coder_workspace.me.is_prebuild'],
      ['module.outer.module.inner.terraform_data.account', name],
      ['terraform_data.vm', name],
    ]);
  });

  test('for an agent with the owner in its env, and for all that refers to it', async () => {
    const found = await decided({
      'main.tf':
        prelude.replace('arch = "amd64"', 'arch = "amd64"\n  env = { WHO = data.coder_workspace_owner.me.name }') +
        `
        resource "terraform_data" "vm" {
          input = coder_agent.main.token
        }
        resource "coder_script" "s" {
          agent_id     = coder_agent.main.id
          display_name = "s"
          run_on_start = true
          script       = "true"
        }
        `,
    });
    expect(reasons(found)).toEqual([
      ['coder_agent.main', name],
      ['coder_script.s', name],
      ['terraform_data.vm', name],
    ]);
  });

  test('for apps and scripts that name the owner or the workspace', async () => {
    const found = await decidedOf(`
      resource "coder_app" "page" {
        agent_id = coder_agent.main.id
        slug     = "page"
        url      = "http://localhost/@\${data.coder_workspace_owner.me.name}"
      }
      resource "coder_app" "other" {
        agent_id = coder_agent.main.id
        slug     = "other"
        url      = "http://localhost/"
      }
      resource "coder_script" "s" {
        agent_id     = coder_agent.main.id
        display_name = "s"
        run_on_start = true
        script       = "echo \${data.coder_workspace.me.name}"
      }
    `);
    expect(reasons(found)).toEqual([
      ['coder_app.page', name],
      ['coder_script.s', 'data.coder_workspace.me.name'],
    ]);
  });

  test('for dynamic blocks, of which a plan says nothing', async () => {
    const found = await decided({
      'main.tf': prelude.replace(
        'arch = "amd64"',
        `arch = "amd64"
        dynamic "metadata" {
          for_each = [data.coder_workspace_owner.me.name]
          content {
            key      = metadata.value
            script   = "true"
            interval = 5
          }
        }`,
      ),
    });
    expect(reasons(found)).toEqual([['coder_agent.main', name]]);
  });

  test('for a changed for_each and for what is replaced with something else', async () => {
    const found = await decidedOf(`
      resource "terraform_data" "keyed" {
        for_each = toset([data.coder_workspace.me.name])
        input    = each.key
      }
      resource "terraform_data" "follower" {
        lifecycle {
          replace_triggered_by = [terraform_data.keyed]
        }
      }
      resource "terraform_data" "later" {
        depends_on = [terraform_data.keyed]
      }
    `);
    expect(reasons(found)).toEqual([
      ['terraform_data.follower', 'data.coder_workspace.me.name'],
      ['terraform_data.keyed', 'data.coder_workspace.me.name'],
    ]);
  });

  test('for what data sources say that were asked with the owner, or later than something that changes', async () => {
    const found = await decidedOf(
      `
      data "terraform_remote_state" "plain" {
        backend = "local"
        config  = { path = "\${path.module}/shared.json" }
      }
      data "terraform_remote_state" "asked" {
        backend  = "local"
        config   = { path = "\${path.module}/shared.json" }
        defaults = { owner = data.coder_workspace_owner.me.name }
      }
      data "terraform_remote_state" "later" {
        backend    = "local"
        config     = { path = "\${path.module}/shared.json" }
        depends_on = [terraform_data.asked]
      }
      resource "terraform_data" "plain" {
        input = data.terraform_remote_state.plain.outputs
      }
      resource "terraform_data" "asked" {
        input = data.terraform_remote_state.asked.outputs.owner
      }
      resource "terraform_data" "later" {
        input = data.terraform_remote_state.later.outputs
      }
      `,
      { 'shared.json': '{"version":4,"terraform_version":"1.11.0","serial":1,"lineage":"shared","outputs":{}}' },
    );
    expect(reasons(found)).toEqual([
      ['terraform_data.asked', name],
      ['terraform_data.later', name],
    ]);
  });

  test('for what is new in every run', async () => {
    const found = await decidedOf(`
      data "coder_provisioner" "host" {}
      data "coder_parameter" "size" {
        name    = "size"
        default = "2"
      }
      locals {
        now = timestamp()
      }
      resource "terraform_data" "clock" {
        input = local.now
      }
      resource "terraform_data" "dice" {
        triggers_replace = [uuid ()]
      }
      resource "terraform_data" "host" {
        input = data.coder_provisioner.host.id
      }
      resource "terraform_data" "parameter" {
        input = data.coder_parameter.size
      }
      resource "terraform_data" "named" {
        input = uuidv5("dns", data.coder_workspace.me.id)
      }
    `);
    expect(reasons(found)).toEqual([
      ['terraform_data.clock', 'timestamp()'],
      ['terraform_data.dice', 'uuid()'],
      ['terraform_data.host', 'data.coder_provisioner.host.id'],
      ['terraform_data.parameter', 'data.coder_parameter.size'],
    ]);
  });

  test('for what parameters say about themselves, but not for their values', async () => {
    const found = await decidedOf(`
      data "coder_parameter" "who" {
        name        = "who"
        description = "Of \${data.coder_workspace.me.name}"
        default     = "x"
      }
      data "coder_parameter" "sometimes" {
        count   = 1
        name    = "sometimes"
        default = data.coder_workspace_owner.me.name
      }
      resource "terraform_data" "value" {
        input = data.coder_parameter.who.value
      }
      resource "terraform_data" "description" {
        input = data.coder_parameter.who.description
      }
      resource "terraform_data" "sometimes" {
        input = data.coder_parameter.sometimes[0].value
      }
    `);
    expect(reasons(found)).toEqual([
      ['terraform_data.description', 'data.coder_workspace.me.name'],
      ['terraform_data.sometimes', name],
    ]);
  });

  test('for whatever a file in JSON syntax or one that cannot be read defines', async () => {
    const found = await decidedOf(
      `
      resource "terraform_data" "vm" {
        input = [local.known, local.json]
      }
      resource "terraform_data" "safe" {
        input = local.known
      }
      locals {
        known = "a"
      }
      `,
      {
        'more.tf.json': JSON.stringify({
          locals: { json: 'b' },
          resource: { terraform_data: { other: { input: 'c' } } },
        }),
      },
    );
    expect(reasons(found)).toEqual([
      ['terraform_data.other', 'terraform_data.other (its source cannot be read)'],
      ['terraform_data.vm', 'local.json (its source cannot be read)'],
    ]);
    expect(parseModule(new Map([['main.tf', 'locals {']])).complete).toBe(false);
    const overridden = new Map([
      ['main.tf', 'locals {\n a = 1\n}\n'],
      ['override.tf.json', '{}'],
    ]);
    expect(parseModule(overridden).locals.size).toBe(0);
  });

  test('for what an override file adds', async () => {
    const found = await decidedOf(
      `
      locals {
        who = "nobody"
      }
      resource "terraform_data" "vm" {
        input = local.who
      }
      resource "terraform_data" "ignores" {
        input = "a"
        lifecycle {
          ignore_changes = [input]
        }
      }
      `,
      {
        'main_override.tf': `
        locals {
          who = data.coder_workspace_owner.me.name
        }
        resource "terraform_data" "ignores" {
          input = data.coder_workspace_owner.me.name
        }
        `,
      },
    );
    expect(reasons(found)).toEqual([
      ['terraform_data.ignores', name],
      ['terraform_data.vm', name],
    ]);
  });
});

describe('variables of the agent', () => {
  const env = (label: string, body: string) => `
    resource "coder_env" "${label}" {
      ${body}
    }
  `;
  const onMain = (label: string, value: string, more = '') =>
    env(label, `agent_id = coder_agent.main.id\n name = "${label.toUpperCase()}"\n value = ${value}\n ${more}`);

  test('that are texts with attributes of owner and workspace are told as parts', async () => {
    const found = await decidedOf(
      [
        `locals {
          email = data.coder_workspace_owner.me.email
          mail  = "<\${local.email}>"
          agent = coder_agent.main.id
        }`,
        onMain('direct', 'data.coder_workspace_owner.me.full_name'),
        onMain('first', 'coalesce(data.coder_workspace_owner.me.full_name, data.coder_workspace_owner.me.name)'),
        onMain('template', String.raw`"\"${'${ data.coder_workspace.me.name }'}\" of ${'${local.mail}'}\tcosts $5"`),
        onMain('counted', 'data.coder_workspace_owner.me.name', 'count = data.coder_workspace.me.start_count'),
        onMain('constant', '"a"'),
        env('agent', 'agent_id = local.agent\n name = "LOCAL"\n value = data.coder_workspace_owner.me.id'),
        `module "git" {
          source = "./git"
          count  = data.coder_workspace.me.start_count
          agent  = coder_agent.main.id
        }`,
      ].join('\n'),
      {
        'git/main.tf': `
          terraform {
            required_providers {
              coder = { source = "coder/coder" }
            }
          }
          variable "agent" {}
          data "coder_workspace_owner" "me" {}
          ${env('email', 'agent_id = var.agent\n name = "GIT_AUTHOR_EMAIL"\n value = data.coder_workspace_owner.me.email')}
        `,
      },
    );
    expect(found.dependents).toEqual([]);
    const agent = 'coder_agent.main';
    const of = 'owner';
    expect(found.environment).toEqual([
      { agent, name: 'COUNTED', value: [{ of, attribute: 'name' }] },
      { agent, name: 'DIRECT', value: [{ of, attribute: 'full_name' }] },
      { agent, name: 'FIRST', value: [{ of, attribute: 'full_name' }] },
      { agent, name: 'GIT_AUTHOR_EMAIL', value: [{ of, attribute: 'email' }] },
      { agent, name: 'LOCAL', value: [{ of, attribute: 'id' }] },
      {
        agent,
        name: 'TEMPLATE',
        value: [
          { text: '"' },
          { of: 'workspace', attribute: 'name' },
          { text: '" of <' },
          { of, attribute: 'email' },
          { text: '>\tcosts $5' },
        ],
      },
    ]);
  });

  test('that are more than that wait for Terraform', async () => {
    const found = await decided({
      'main.tf':
        prelude.replace('arch = "amd64"', 'arch = "amd64"\n  env = { for k in ["OWN"] : k => "agent" }') +
        [
          onMain('function', 'upper(data.coder_workspace_owner.me.name)'),
          onMain('token', 'data.coder_workspace_owner.me.session_token'),
          onMain('braces', '"${{ a = data.coder_workspace_owner.me.name }.a}"'),
          onMain('escaped', '"$${x} ${data.coder_workspace_owner.me.name}"'),
          onMain('compared', 'coalesce(data.coder_workspace_owner.me.name, "a") == "" ? "b" : lower("c")'),
          onMain('appended', 'data.coder_workspace_owner.me.name', 'merge_strategy = "append"'),
          onMain('counted', 'data.coder_workspace_owner.me.name', 'count = 1'),
          onMain('own', 'data.coder_workspace_owner.me.name'),
          env('named', `agent_id = coder_agent.main.id\n name = upper("z")\n value = "z"`),
        ].join('\n'),
    });
    expect(found.environment).toEqual([]);
    expect(found.dependents.map(({ address }) => address)).toEqual(
      ['appended', 'braces', 'compared', 'counted', 'escaped', 'function', 'own', 'token'].map(
        (one) => `coder_env.${one}`,
      ),
    );
  });

  test('that are set twice, or by an agent itself, wait too', async () => {
    const found = await decided({
      'main.tf':
        prelude.replace('arch = "amd64"', 'arch = "amd64"\n  env = { for k in ["OWN"] : k => "agent" }') +
        onMain('own', 'data.coder_workspace_owner.me.name') +
        onMain('free', 'data.coder_workspace_owner.me.name') +
        onMain('twice', 'data.coder_workspace_owner.me.name') +
        onMain('again', '"fixed"').replace('AGAIN', 'TWICE'),
    });
    expect(found.environment.map((variable) => variable.name)).toEqual(['FREE']);
    expect(found.dependents.map(({ address }) => address)).toEqual(['coder_env.own', 'coder_env.twice']);
  });
});

test('of an owner without a full name Terraform says "default", so that the first of a coalesce is never empty', async () => {
  const value = 'coalesce(data.coder_workspace_owner.me.full_name, data.coder_workspace_owner.me.name)';
  const env = `resource "coder_env" "who" {\n agent_id = coder_agent.main.id\n name = "WHO"\n value = ${value}\n}\n`;
  await importedClaim(tools(), dir, { 'main.tf': prelude + env });
  const { plan } = await planClaim(tools(), dir, '');
  expect(planInstances(plan).find(({ type }) => type === 'coder_env')?.values['value']).toBe('default');
});

describe('without a run of Terraform', () => {
  /** A plan as one of this source would be, as far as its text tells. */
  const found = (text: string, providers: object = {}) => {
    const files = new Map([['main.tf', text]]);
    const resources = [...parseModule(files).bodies].flatMap(([key, [body]]) => {
      const [kind, type, label] = key.split('.');
      if (kind !== 'resource' && kind !== 'data') return [];
      const expressions: Record<string, unknown> = {};
      for (const [argument, { value }] of body?.attributes ?? [])
        expressions[argument] = value === undefined ? {} : { constant_value: value };
      const { count, ...own } = expressions;
      return [
        {
          mode: kind === 'data' ? 'data' : 'managed',
          type,
          name: label,
          provider_config_key: type?.split('_')[0],
          expressions: own,
          ...(count !== undefined && { count_expression: count }),
        },
      ];
    });
    const configuration = { provider_config: providers, root_module: { resources } };
    return claimDependencies({ plan: { configuration }, files: new Map([['', files]]) });
  };

  test('programs, requests and unknown data sources of the provider count as following the owner', () => {
    expect(
      reasons(
        found(`
          data "external" "who" {}
          data "http" "who" {}
          data "coder_external_auth" "github" {}
          data "coder_git_auth" "old" {}
          data "coder_task" "me" {}
          data "coder_something" "new" {}
          data "aws_ami" "image" {}
          resource "aws_a" "a" { x = data.external.who.result.name }
          resource "aws_a" "b" { x = data.http.who.body }
          resource "aws_a" "c" { x = data.coder_external_auth.github.access_token }
          resource "aws_a" "d" { x = data.coder_git_auth.old.access_token }
          resource "aws_a" "e" { x = data.coder_task.me.prompt }
          resource "aws_a" "f" { x = data.coder_something.new.id }
          resource "aws_a" "g" { x = data.aws_ami.image.id }
          resource "aws_a" "h" { x = ephemeral.vault_secret.x.data }
        `),
      ),
    ).toEqual([
      ['aws_a.a', 'data.external.who.result'],
      ['aws_a.b', 'data.http.who.body'],
      ['aws_a.c', 'data.coder_external_auth.github.access_token'],
      ['aws_a.d', 'data.coder_git_auth.old.access_token'],
      ['aws_a.e', 'data.coder_task.me.prompt'],
      ['aws_a.f', 'data.coder_something.new.id'],
      ['aws_a.h', 'ephemeral.vault_secret.x.data'],
    ]);
  });

  test('a provider that is configured with the owner hands that on to all that it makes or reads', () => {
    const provider = (block: string) =>
      reasons(
        found(
          `
          data "coder_workspace_owner" "me" {}
          provider "aws" {
            ${block}
          }
          data "aws_ami" "image" {}
          resource "aws_vm" "vm" {
            lifecycle {
              ignore_changes = all
            }
          }
          resource "google_vm" "vm" { image = data.aws_ami.image.id }
          resource "google_vm" "other" {}
          `,
          { aws: { name: 'aws' }, google: { name: 'google' } },
        ),
      );
    expect(provider('region = "eu"')).toEqual([]);
    expect(provider('alias = "other"\n region = data.coder_workspace_owner.me.name')).toEqual([]);
    const all = [
      ['aws_vm.vm', name],
      ['google_vm.vm', name],
    ];
    expect(provider('default_tags {\n tags = { owner = data.coder_workspace_owner.me.name }\n }')).toEqual(all);
    expect(provider('dynamic "x" {\n for_each = [data.coder_workspace_owner.me.name]\n content {}\n }')).toEqual(all);
  });

  test('an argument that is ignored may be a dynamic block', () => {
    const vm = (ignored: string) =>
      reasons(
        found(`
          data "coder_workspace_owner" "me" {}
          resource "docker_container" "vm" {
            dynamic "env" {
              for_each = [data.coder_workspace_owner.me.name]
              content {}
            }
            lifecycle {
              ignore_changes = [${ignored}]
            }
          }
        `),
      );
    expect(vm('name, env')).toEqual([]);
    expect(vm('name')).toEqual([['docker_container.vm', name]]);
    expect(vm('env[0]')).toEqual([['docker_container.vm', name]]);
  });

  test('what holds each other in a circle ends', () => {
    expect(reasons(found('locals {\n a = local.b\n b = local.a\n}\nresource "x_y" "z" { a = local.a }'))).toEqual([]);
  });

  test('a chain of many thousand steps is followed', () => {
    const steps = Array.from({ length: 20_000 }, (_, i) => ` l${i} = local.l${i + 1}`).join('\n');
    expect(
      reasons(
        found(
          `data "coder_workspace_owner" "me" {}\nlocals {\n${steps}\n l20000 = data.coder_workspace_owner.me.name\n}\nresource "x_y" "z" { a = local.l0 }`,
        ),
      ),
    ).toEqual([['x_y.z', name]]);
  });

  test('a plan without configuration is an error', () => {
    expect(() => claimDependencies({ plan: {}, files: new Map() })).toThrow('no configuration');
  });

  test('the docker example waits for its host name and knows its variable', async () => {
    const example = new URL('../../examples/templates/docker/main.tf', import.meta.url);
    expect(found(await readFile(example, 'utf8'))).toEqual({
      dependents: [{ address: 'docker_container.workspace', because: 'data.coder_workspace.me.name' }],
      environment: [
        { agent: 'coder_agent.main', name: 'GIT_AUTHOR_NAME', value: [{ of: 'owner', attribute: 'full_name' }] },
      ],
    });
  });
});
