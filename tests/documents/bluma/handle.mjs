async function handleWebhookEvent(event) {
  console.log(`Received event: ${event.type} (ID: ${event.id})`);

  switch (event.type) {
    case 'video.completed':
      await handleVideoCompleted(event.data);
      break;

    case 'video.failed':
      await handleVideoFailed(event.data);
      break;

    case 'video.queued':
      await handleVideoQueued(event.data);
      break;

    case 'video.processing':
      await handleVideoProcessing(event.data);
      break;

    case 'credits.low':
      await handleCreditsLow(event.data);
      break;

    case 'credits.exhausted':
      await handleCreditsExhausted(event.data);
      break;

    default:
      console.warn(`Unknown event type: ${event.type}`);
  }
}

async function handleVideoCompleted(video) {
  console.log(`✅ Video completed: ${video.id}`);
  console.log(`   URL: ${video.url}`);
  console.log(`   Duration: ${video.duration}s`);

  // Download video to your storage
  await downloadVideo(video.url, video.id);

  // Notify user
  await notifyUser(video.user_id, {
    title: 'Video Ready!',
    message: `Your ${video.template_id} video is ready to download.`,
    url: video.url
  });

  // Update database
  await db.videos.update({
    where: { id: video.id },
    data: {
      status: 'completed',
      url: video.url,
      completed_at: new Date()
    }
  });
}

async function handleVideoFailed(video) {
  console.error(`❌ Video failed: ${video.id}`);
  console.error(`   Error: ${video.error.detail}`);

  // Alert user
  await notifyUser(video.user_id, {
    title: 'Video Generation Failed',
    message: video.error.detail,
    severity: 'error'
  });

  // Update database
  await db.videos.update({
    where: { id: video.id },
    data: {
      status: 'failed',
      error: video.error.detail
    }
  });
}

async function handleCreditsLow(data) {
  console.warn(`⚠️ Credits running low: ${data.remaining} remaining`);

  // Alert admin
  await sendEmail({
    to: 'admin@yourapp.com',
    subject: 'Bluma Credits Running Low',
    body: `Only ${data.remaining} credits remaining. Consider purchasing more.`
  });
}
