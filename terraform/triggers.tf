# A bucket tells the topic of what was written, within the folders of runs alone. One notification a folder; a bucket takes ten of them.

resource "google_storage_notification" "runs" {
  for_each = local.notices

  bucket             = each.value.bucket
  object_name_prefix = each.value.folder == "" ? null : each.value.folder
  payload_format     = "JSON_API_V1"
  topic              = google_pubsub_topic.pushed["storage_event"].id
  event_types        = ["OBJECT_FINALIZE"]

  depends_on = [google_pubsub_topic_iam_member.objects]
}
