# What the policy says, read and not repeated.

locals {
  policy      = yamldecode(file(var.policy))
  permissions = jsondecode(file("${path.module}/permissions.json"))

  steps = flatten([
    for rule in try(local.policy.budgets, []) : [
      for step in rule.steps : {
        budget = rule.budget
        at     = tonumber(trimsuffix(trimspace(step.at), "%")) / 100
        # To this YAML the bare word `on` is the truth value, and as a key it becomes the word "true".
        basis = try(step["on"], step["true"], "actual")
        uses = [for use in step.do : {
          action  = try(keys(use)[0], use)
          buckets = try([for bucket in values(use)[0].buckets : bucket], [])
        }]
      }
    ]
  ])
  uses    = flatten(local.steps[*].uses)
  enabled = toset(local.uses[*].action)
  named   = toset([for rule in try(local.policy.budgets, []) : rule.budget if rule.budget != "*"])
  # In the order of their height, whatever the policy's is.
  thresholds = { for name in local.named : name => values({ for step in local.steps : format("%010.4f %s", step.at, step.basis) => { at = step.at, basis = step.basis } if step.budget == name }) }

  # Where it may change resources: the projects of the policy, the own one where it names none.
  projects     = toset(length(try(local.policy.scope.projects, [])) > 0 ? local.policy.scope.projects : [var.project])
  known        = setunion([var.project], keys(var.watched))
  on_resources = sort(distinct(flatten([for action in local.enabled : lookup(local.permissions.actions, action, []) if !contains(local.permissions.in_named_buckets, action)])))

  # Where it may change objects: the buckets that artifacts and actions name.
  rules    = [for rule in try(local.policy.artifacts, []) : { bucket = rule.bucket, runs = rule.runs }]
  runs_in  = toset(local.rules[*].bucket)
  in_named = { for use in local.uses : use.action => use.buckets... if contains(local.permissions.in_named_buckets, use.action) }
  on_objects = {
    for bucket in setunion(local.runs_in, flatten(values(local.in_named))) : bucket => sort(distinct(concat(
      contains(local.runs_in, bucket) ? local.permissions.artifacts : [],
      flatten([for action, buckets in local.in_named : local.permissions.actions[action] if contains(flatten(buckets), bucket)]),
    )))
  }
  homes = { for pair in flatten([for project, buckets in var.watched : [for bucket in buckets : { bucket = bucket, project = project }]]) : pair.bucket => pair.project }
  home  = { for bucket in keys(local.on_objects) : bucket => lookup(local.homes, bucket, var.project) }

  # The folders in which runs lie, up to the first part that may be anything: nothing written elsewhere invokes a function.
  folders = { for bucket in local.runs_in : bucket => distinct([for rule in local.rules : split("{", rule.runs)[0] if rule.bucket == bucket]) }
  notices = merge([
    for bucket, folders in local.folders : {
      for folder in folders : "${bucket}/${folder}" => { bucket = bucket, folder = folder }
      if !anytrue([for wider in folders : wider != folder && startswith(folder, wider)])
    }
  ]...)
}
